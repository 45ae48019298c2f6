//! `#[tool]`: an async function becomes a unit type that implements `beluga_core::Tool`.
//!
//! The function itself stays callable as `name::run(…)`. Everything that can be checked from the text alone is checked
//! here, with the span of the mistake; whether the argument type has a schema and the answer can be written as JSON is
//! left to the traits the expansion names.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{
    Attribute, Error, Expr, FnArg, Ident, ItemFn, Lit, LitInt, LitStr, Meta, PatIdent, Result, ReturnType, Type,
};

/// The longest tool name vendors take, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// Expands `#[tool(attributes)] item`.
pub(crate) fn expand(attributes: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let settings = Settings::parse(attributes)?;
    let function: ItemFn = syn::parse2(item).map_err(|error| {
        Error::new(error.span(), "#[tool] stands on a function: `async fn name(args: Args) -> Result<T>`")
    })?;
    check_signature(&function)?;
    check_names(&function)?;
    let parameters = Parameters::parse(&function)?;
    let answer = answer_type(&function)?;
    let name = settings.tool_name(&function)?;
    let description = settings.description(&function)?;
    let support = support_path(function.sig.ident.span())?;
    Ok(write(&function, &parameters, answer, &Definition { name, description, settings: &settings, support }))
}

/// What stands in the brackets of `#[tool(…)]`.
#[derive(Default)]
struct Settings {
    name: Option<LitStr>,
    description: Option<LitStr>,
    effect: Option<&'static str>,
    timeout_ms: Option<u64>,
}

impl Settings {
    fn parse(attributes: TokenStream) -> Result<Self> {
        let mut settings = Settings::default();
        let parser = syn::meta::parser(|meta| {
            let Some(key) = meta.path.get_ident().map(ToString::to_string) else {
                return Err(meta.error(KNOWN_KEYS));
            };
            match key.as_str() {
                "name" => settings.name = Some(meta.value()?.parse()?),
                "description" => settings.description = Some(meta.value()?.parse()?),
                "effect" => settings.effect = Some(parse_effect(&meta.value()?.parse()?)?),
                "timeout_ms" => settings.timeout_ms = Some(parse_timeout(&meta.value()?.parse()?)?),
                _ => return Err(meta.error(KNOWN_KEYS)),
            }
            Ok(())
        });
        syn::parse::Parser::parse2(parser, attributes)?;
        Ok(settings)
    }

    fn tool_name(&self, function: &ItemFn) -> Result<String> {
        let (name, span) = match &self.name {
            Some(name) => (name.value(), name.span()),
            None => {
                let ident = function.sig.ident.to_string();
                (ident.trim_start_matches("r#").to_owned(), function.sig.ident.span())
            }
        };
        let well_formed = !name.is_empty()
            && name.len() <= NAME_MAX_BYTES
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        if well_formed {
            return Ok(name);
        }
        Err(Error::new(span, format!("a tool's name is 1 to {NAME_MAX_BYTES} of A-Z a-z 0-9 _ -")))
    }

    fn description(&self, function: &ItemFn) -> Result<String> {
        let text = match &self.description {
            Some(text) => text.value().trim().to_owned(),
            None => doc_text(&function.attrs),
        };
        if !text.is_empty() {
            return Ok(text);
        }
        let span = self.description.as_ref().map_or_else(|| function.sig.ident.span(), LitStr::span);
        Err(Error::new(
            span,
            "a tool needs a description for the model: write a doc comment above it, or #[tool(description = \"…\")]",
        ))
    }
}

const KNOWN_KEYS: &str =
    "#[tool] knows: name = \"…\", description = \"…\", effect = \"pure|idempotent|once\", timeout_ms = 5000";

fn parse_effect(literal: &LitStr) -> Result<&'static str> {
    match literal.value().as_str() {
        "pure" => Ok("Pure"),
        "idempotent" => Ok("Idempotent"),
        "once" => Ok("Once"),
        _ => Err(Error::new(
            literal.span(),
            "an effect is \"pure\" (no effect), \"idempotent\" (one effect per key) or \"once\" (never repeated)",
        )),
    }
}

fn parse_timeout(literal: &LitInt) -> Result<u64> {
    match literal.base10_parse::<u64>() {
        Ok(timeout_ms) if timeout_ms > 0 => Ok(timeout_ms),
        _ => Err(Error::new(literal.span(), "timeout_ms is a whole number of milliseconds, at least 1")),
    }
}

/// Joins the doc comment's lines: a line break stays only between paragraphs.
fn doc_text(attributes: &[Attribute]) -> String {
    let mut paragraphs = vec![String::new()];
    for line in attributes.iter().filter_map(doc_line) {
        let line = line.trim();
        match paragraphs.last_mut() {
            Some(paragraph) if !line.is_empty() => {
                if !paragraph.is_empty() {
                    paragraph.push(' ');
                }
                paragraph.push_str(line);
            }
            _ => paragraphs.push(String::new()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n")
}

fn doc_line(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(literal) = &pair.value else { return None };
    match &literal.lit {
        Lit::Str(text) if pair.path.is_ident("doc") => Some(text.value()),
        _ => None,
    }
}

fn check_signature(function: &ItemFn) -> Result<()> {
    let signature = &function.sig;
    if signature.asyncness.is_none() {
        return Err(Error::new(signature.fn_token.span, "a tool is an `async fn`"));
    }
    if !signature.generics.params.is_empty() {
        return Err(Error::new(
            signature.generics.span(),
            "a tool has no generic parameters: the model sees one schema",
        ));
    }
    if let Some(unsafety) = &signature.unsafety {
        return Err(Error::new(unsafety.span, "a tool is a safe function"));
    }
    Ok(())
}

/// Refuses variables of the tool's own name. The tool is a unit struct of that name, so the compiler would take each of
/// them for a pattern that only the tool itself matches, and say something about mismatched types.
fn check_names(function: &ItemFn) -> Result<()> {
    struct Search<'a> {
        name: &'a Ident,
        found: Option<Span>,
    }

    impl<'ast> Visit<'ast> for Search<'_> {
        fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
            if pattern.ident == *self.name {
                self.found.get_or_insert_with(|| pattern.ident.span());
            }
            syn::visit::visit_pat_ident(self, pattern);
        }
    }

    let name = &function.sig.ident;
    let mut search = Search { name, found: None };
    search.visit_item_fn(function);
    let Some(span) = search.found else { return Ok(()) };
    Err(Error::new(
        span,
        format!(
            "a variable cannot have the tool's own name: `{name}` is the tool here; rename the variable, or rename the \
             function and keep the tool's name with #[tool(name = \"{name}\")]"
        ),
    ))
}

/// The function's parameters, in their order.
struct Parameters {
    order: Vec<Parameter>,
    arguments: Option<Type>,
}

#[derive(Clone, Copy, PartialEq)]
enum Parameter {
    Context,
    Arguments,
}

impl Parameters {
    fn parse(function: &ItemFn) -> Result<Self> {
        let mut parsed = Parameters { order: Vec::new(), arguments: None };
        for input in &function.sig.inputs {
            let FnArg::Typed(parameter) = input else {
                return Err(Error::new(input.span(), "a tool is a free function, without `self`"));
            };
            let kind = match &*parameter.ty {
                Type::Reference(reference) if is_context(&reference.elem) => Parameter::Context,
                Type::Reference(reference) => {
                    return Err(Error::new(
                        reference.span(),
                        "a tool takes its arguments by value: one struct that derives Deserialize and JsonSchema",
                    ));
                }
                ty if is_context(ty) => {
                    return Err(Error::new(ty.span(), "the context is borrowed: write `&ToolContext`"));
                }
                ty => {
                    parsed.arguments.get_or_insert_with(|| ty.clone());
                    Parameter::Arguments
                }
            };
            if parsed.order.contains(&kind) {
                return Err(Error::new(
                    parameter.span(),
                    "a tool takes at most `cx: &ToolContext` and one argument struct; put every argument into the struct",
                ));
            }
            parsed.order.push(kind);
        }
        Ok(parsed)
    }
}

fn is_context(ty: &Type) -> bool {
    let Type::Path(path) = ty else { return false };
    path.path.segments.last().is_some_and(|segment| segment.ident == "ToolContext")
}

fn answer_type(function: &ItemFn) -> Result<&Type> {
    match &function.sig.output {
        ReturnType::Type(_, ty) => Ok(ty),
        ReturnType::Default => Err(Error::new(
            function.sig.paren_token.span.close(),
            "a tool answers the model: write `-> Result<T>` with a T that is a String, any Serialize value or ToolOutput",
        )),
    }
}

/// Returns the path of `beluga_actors::tool::typed::support`, through the facade where the calling crate has it.
fn support_path(span: Span) -> Result<TokenStream> {
    let through = |found: FoundCrate, itself: &str| match found {
        FoundCrate::Itself => format_ident!("{itself}"),
        FoundCrate::Name(name) => format_ident!("{name}"),
    };
    if let Ok(found) = crate_name("beluga-actors") {
        let actors = through(found, "beluga_actors");
        return Ok(quote!(::#actors::tool::typed::support));
    }
    if let Ok(found) = crate_name("beluga") {
        let facade = through(found, "beluga");
        return Ok(quote!(::#facade::__private::support));
    }
    Err(Error::new(span, "#[tool] needs the crate `beluga` (or `beluga-actors`) in [dependencies]"))
}

struct Definition<'a> {
    name: String,
    description: String,
    settings: &'a Settings,
    support: TokenStream,
}

/// Writes the tool. Its variables have names no tool has: one called `answer` would meet a variable `answer`.
fn write(function: &ItemFn, parameters: &Parameters, answer: &Type, definition: &Definition<'_>) -> TokenStream {
    let Definition { name, description, settings, support } = definition;
    let ItemFn { attrs, vis, sig, block } = function;
    let ident = &sig.ident;
    let inputs = &sig.inputs;
    let (doc, other): (Vec<&Attribute>, Vec<&Attribute>) = attrs.iter().partition(|attr| attr.path().is_ident("doc"));
    let doc = if doc.is_empty() { quote!(#[doc = #description]) } else { quote!(#(#doc)*) };
    let effect = format_ident!("{}", settings.effect.unwrap_or("Once"));
    let timeout = match settings.timeout_ms {
        Some(timeout_ms) => quote!(::core::option::Option::Some(#timeout_ms)),
        None => quote!(::core::option::Option::None),
    };
    let arguments = parameters.arguments.as_ref().map_or_else(|| quote!(#support::NoArguments), |ty| quote!(#ty));
    let arguments_span = parameters.arguments.as_ref().map_or_else(Span::call_site, Spanned::span);
    let parse = quote_spanned!(arguments_span=> #support::parse::<#arguments>(__arguments));
    let passed = parameters.order.iter().map(|parameter| match parameter {
        Parameter::Context => quote!(&__cx),
        Parameter::Arguments => quote!(__arguments),
    });
    let convert = quote_spanned!(answer.span()=> #support::ToolAnswer::into_output(__answer));
    quote! {
        #doc
        #[allow(non_camel_case_types)]
        #[derive(Debug, Clone, Copy, Default)]
        #vis struct #ident;

        impl #ident {
            /// Runs the tool directly, as a test does: no validation, no time-out, no supervision.
            #(#other)*
            #[allow(clippy::unused_async, dead_code)]
            #vis async fn run(#inputs) -> #answer #block
        }

        impl #support::Tool for #ident {
            fn definition(&self) -> &#support::ToolDefinition {
                static DEFINITION: ::std::sync::LazyLock<#support::ToolDefinition> = ::std::sync::LazyLock::new(|| {
                    #support::definition::<#arguments>(#name, #description, #support::Effect::#effect, #timeout)
                });
                &DEFINITION
            }

            fn call(
                &self,
                __arguments: #support::Value,
                __cx: #support::ToolContext,
            ) -> #support::BoxFuture<'static, ::core::result::Result<#support::ToolOutput, #support::Error>> {
                ::std::boxed::Box::pin(async move {
                    let __arguments = #parse?;
                    let _ = (&__arguments, &__cx);
                    let __answer = #ident::run(#(#passed),*).await;
                    #convert
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(attributes: TokenStream, item: TokenStream) -> String {
        expand(attributes, item).unwrap_err().to_string()
    }

    #[test]
    fn a_tool_without_a_description_is_told_where_to_write_one() {
        let message = problem(
            quote!(),
            quote!(
                async fn weather(args: Args) -> Result<String> {
                    todo()
                }
            ),
        );
        assert!(message.contains("doc comment"), "{message}");
        let message = problem(
            quote!(description = " "),
            quote!(
                async fn weather(args: Args) -> Result<String> {
                    todo()
                }
            ),
        );
        assert!(message.contains("doc comment"), "{message}");
    }

    #[test]
    fn a_function_that_is_not_async_is_refused() {
        let message = problem(
            quote!(),
            quote!(
                /** Says. */
                fn weather(args: Args) -> Result<String> {
                    todo()
                }
            ),
        );
        assert_eq!(message, "a tool is an `async fn`");
    }

    #[test]
    fn loose_arguments_are_sent_into_one_struct() {
        let item = quote!(
            /** Says. */
            async fn weather(city: String, days: u8) -> Result<String> {
                todo()
            }
        );
        assert!(problem(quote!(), item).contains("put every argument into the struct"));
        let item = quote!(
            /** Says. */
            async fn weather(city: &str) -> Result<String> {
                todo()
            }
        );
        assert!(problem(quote!(), item).contains("by value"));
        let item = quote!(
            /** Says. */
            async fn weather(cx: ToolContext) -> Result<String> {
                todo()
            }
        );
        assert!(problem(quote!(), item).contains("`&ToolContext`"));
        let item = quote!(
            /** Says. */
            async fn weather(&self) -> Result<String> {
                todo()
            }
        );
        assert!(problem(quote!(), item).contains("without `self`"));
        let item = quote!(
            /** Says. */
            async fn weather<T>(args: T) -> Result<String> {
                todo()
            }
        );
        assert!(problem(quote!(), item).contains("no generic parameters"));
    }

    #[test]
    fn a_variable_of_the_tools_own_name_is_named_and_not_left_to_the_compiler() {
        for item in [
            quote!(
                /** Says. */
                async fn weather(weather: Args) -> Result<String> {
                    todo()
                }
            ),
            quote!(
                /** Says. */
                async fn weather(Args { weather, .. }: Args) -> Result<String> {
                    todo()
                }
            ),
            quote!(
                /** Says. */
                async fn weather(args: Args) -> Result<String> {
                    if let Some((_, weather)) = args.days.first() {
                        return weather.clone();
                    }
                    todo()
                }
            ),
        ] {
            let message = problem(quote!(), item);
            assert!(message.contains("#[tool(name = \"weather\")]"), "{message}");
        }
        let fine = quote!(
            /** Says. */
            async fn weather(args: Args) -> Result<String> {
                Ok(args.weather.weather())
            }
        );
        assert!(check_names(&syn::parse2(fine).unwrap()).is_ok());
    }

    #[test]
    fn a_tool_without_an_answer_is_refused() {
        let message = problem(
            quote!(),
            quote!(
                /** Says. */
                async fn weather(args: Args) {
                    todo()
                }
            ),
        );
        assert!(message.contains("-> Result<T>"), "{message}");
    }

    #[test]
    fn wrong_settings_name_the_right_ones() {
        let item = || {
            quote!(
                /** Says. */
                async fn weather() -> Result<String> {
                    todo()
                }
            )
        };
        assert!(problem(quote!(timeout = 5), item()).contains("timeout_ms = 5000"));
        assert!(problem(quote!(effect = "harmless"), item()).contains("\"idempotent\""));
        assert!(problem(quote!(timeout_ms = 0), item()).contains("at least 1"));
        assert!(problem(quote!(name = "the weather"), item()).contains("A-Z a-z 0-9 _ -"));
    }

    #[test]
    fn a_doc_comment_becomes_one_line_per_paragraph() {
        let function: ItemFn = syn::parse_quote! {
            /// Says the weather
            /// of a city.
            ///
            /// Not the forecast.
            async fn weather() {}
        };
        assert_eq!(doc_text(&function.attrs), "Says the weather of a city.\nNot the forecast.");
    }
}
