//! `#[derive(Message)]`: a message with one reply, or one answered by a stream.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote};
use syn::{DeriveInput, Error, Ident, LitInt, LitStr, Result, Type, parse2, spanned::Spanned};

const KNOWN: &str = "known are: name, version, reply, stream, lane, keep, codec, upgrade_from, downgrade, schema";

/// What `#[message(…)]` says.
#[derive(Default)]
struct Settings {
    name: Option<LitStr>,
    version: Option<LitInt>,
    reply: Option<Type>,
    stream: Option<Type>,
    lane: Option<LitStr>,
    keep: bool,
    codec: Option<LitStr>,
    upgrade_from: Option<Type>,
    downgrade: bool,
    schema: bool,
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let input: DeriveInput = parse2(input)?;
    let settings = Settings::read(&input)?;
    let Some(name) = &settings.name else {
        return Err(Error::new(input.ident.span(), "a message has a name: `#[message(name = \"room.verb\")]`"));
    };
    check_name(name)?;
    if let (Some(reply), Some(_)) = (&settings.reply, &settings.stream) {
        return Err(Error::new(reply.span(), "a message has a `reply` or a `stream`, not both"));
    }
    let runtime = runtime_path();
    let lane = settings.lane_ident()?;
    let version = settings.version.as_ref().map_or(Ok(1), LitInt::base10_parse::<u16>)?;
    let (message, (generics, types, bounds)) = (&input.ident, input.generics.split_for_impl());
    let (contract, answer) = match &settings.stream {
        Some(item) => (quote!(StreamMessage), quote!(#item)),
        None => (quote!(Message), settings.reply.as_ref().map_or_else(|| quote!(()), |reply| quote!(#reply))),
    };
    let associated =
        if settings.stream.is_some() { quote!(type Item = #answer;) } else { quote!(type Reply = #answer;) };
    let wire = settings.wire(&runtime, version, &answer)?;
    let kept = settings.keep.then(|| {
        quote! {
            const KEEP: bool = true;
            fn kept(&self) -> ::core::option::Option<::std::string::String> {
                ::core::option::Option::Some(::std::format!("{self:?}"))
            }
        }
    });
    Ok(quote! {
        #[automatically_derived]
        impl #generics #runtime::#contract for #message #types #bounds {
            #associated
            const NAME: &'static str = #name;
            const VERSION: u16 = #version;
            const LANE: #runtime::Lane = #runtime::Lane::#lane;
            #kept
            #wire
        }
    })
}

impl Settings {
    fn read(input: &DeriveInput) -> Result<Self> {
        let mut settings = Self::default();
        for attribute in input.attrs.iter().filter(|attribute| attribute.path().is_ident("message")) {
            attribute.parse_nested_meta(|meta| {
                let known = meta.path.get_ident().map(Ident::to_string).unwrap_or_default();
                match known.as_str() {
                    "name" => settings.name = Some(meta.value()?.parse()?),
                    "version" => settings.version = Some(meta.value()?.parse()?),
                    "reply" => settings.reply = Some(meta.value()?.parse()?),
                    "stream" => settings.stream = Some(meta.value()?.parse()?),
                    "lane" => settings.lane = Some(meta.value()?.parse()?),
                    "keep" => settings.keep = true,
                    "codec" => settings.codec = Some(meta.value()?.parse()?),
                    "upgrade_from" => settings.upgrade_from = Some(meta.value()?.parse()?),
                    "downgrade" => settings.downgrade = true,
                    "schema" => settings.schema = true,
                    _ => return Err(meta.error(KNOWN)),
                }
                Ok(())
            })?;
        }
        Ok(settings)
    }

    /// What the wire is to know of the message, as far as it is not the default.
    fn wire(&self, runtime: &TokenStream, version: u16, answer: &TokenStream) -> Result<TokenStream> {
        let codec = self
            .codec_ident()?
            .map(|codec| quote!(const CODEC: #runtime::wire::Codec = #runtime::wire::Codec::#codec;));
        let upgrade = match &self.upgrade_from {
            None => None,
            Some(old) => {
                let oldest = version.checked_sub(1).filter(|oldest| *oldest > 0);
                let first = "the first version has none before it: `upgrade_from` needs `version = 2` or more";
                let oldest = oldest.ok_or_else(|| Error::new(old.span(), first))?;
                Some(quote! {
                    const OLDEST: u16 = #oldest;
                    fn upgrade(
                        codec: #runtime::wire::Codec,
                        payload: &[u8],
                    ) -> ::core::option::Option<#runtime::wire::Result<Self>> {
                        ::core::option::Option::Some(#runtime::wire::upgraded::<#old, Self>(codec, payload))
                    }
                })
            }
        };
        let downgrade = match (&self.upgrade_from, self.downgrade) {
            (_, false) => None,
            (Some(old), true) => Some(quote! {
                fn downgrade(
                    &self,
                    codec: #runtime::wire::Codec,
                ) -> ::core::option::Option<#runtime::wire::Result<::std::vec::Vec<u8>>> {
                    ::core::option::Option::Some(#runtime::wire::downgraded::<Self, #old>(codec, self))
                }
            }),
            (None, true) => {
                let lacking = "`downgrade` writes what `upgrade_from` names: it needs both";
                return Err(Error::new(Span::call_site(), lacking));
            }
        };
        let schema = self.schema.then(|| {
            quote! {
                fn schema() -> ::core::option::Option<#runtime::wire::MessageSchema> {
                    ::core::option::Option::Some(#runtime::wire::MessageSchema::of::<Self, #answer>())
                }
            }
        });
        Ok(quote!(#codec #upgrade #downgrade #schema))
    }

    fn codec_ident(&self) -> Result<Option<Ident>> {
        let Some(codec) = &self.codec else { return Ok(None) };
        let variant = match codec.value().as_str() {
            "cbor" => "Cbor",
            "json" => "Json",
            "b2" => "B2",
            _ => return Err(Error::new(codec.span(), "the codecs are: cbor, json, b2")),
        };
        Ok(Some(Ident::new(variant, Span::call_site())))
    }

    fn lane_ident(&self) -> Result<Ident> {
        let Some(lane) = &self.lane else { return Ok(format_ident!("Normal")) };
        let variant = match lane.value().as_str() {
            "control" => "Control",
            "interrupt" => "Interrupt",
            "normal" => "Normal",
            "bulk" => "Bulk",
            _ => return Err(Error::new(lane.span(), "the lanes are: control, interrupt, normal, bulk")),
        };
        Ok(Ident::new(variant, Span::call_site()))
    }
}

fn check_name(name: &LitStr) -> Result<()> {
    let text = name.value();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        return Err(Error::new(name.span(), "a message name is 1 to 64 of a-z 0-9 . _ -"));
    }
    Ok(())
}

/// Returns the path under which the calling crate sees the runtime.
fn runtime_path() -> TokenStream {
    match crate_name("beluga-runtime") {
        Ok(FoundCrate::Name(name)) => {
            let name = Ident::new(&name, Span::call_site());
            quote!(::#name)
        }
        // The runtime names itself `beluga_runtime`, so its own code and its tests agree.
        Ok(FoundCrate::Itself) => quote!(::beluga_runtime),
        Err(_) => match crate_name("beluga") {
            Ok(FoundCrate::Name(name)) => {
                let name = Ident::new(&name, Span::call_site());
                quote!(::#name::runtime)
            }
            _ => quote!(::beluga::runtime),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(input: TokenStream) -> String {
        expand(input).unwrap_err().to_string()
    }

    #[test]
    fn a_message_without_a_name_is_refused() {
        assert!(
            refused(quote!(
                struct Add(u64);
            ))
            .contains("has a name")
        );
        assert!(
            refused(quote!(
                #[message(name = "Add!")]
                struct Add(u64);
            ))
            .contains("a-z")
        );
    }

    #[test]
    fn reply_and_stream_exclude_each_other() {
        let both = quote!(
            #[message(name = "a.b", reply = u64, stream = u64)]
            struct Add;
        );
        assert!(refused(both).contains("not both"));
    }

    #[test]
    fn an_unknown_lane_or_setting_is_refused() {
        assert!(
            refused(quote!(
                #[message(name = "a.b", lane = "fast")]
                struct Add;
            ))
            .contains("the lanes are")
        );
        assert!(
            refused(quote!(
                #[message(name = "a.b", wait = 1)]
                struct Add;
            ))
            .contains("known are")
        );
    }

    #[test]
    fn an_unknown_codec_and_an_upgrade_from_nothing_are_refused() {
        assert!(
            refused(quote!(
                #[message(name = "a.b", codec = "xml")]
                struct Add;
            ))
            .contains("the codecs are")
        );
        assert!(
            refused(quote!(
                #[message(name = "a.b", upgrade_from = Old)]
                struct Add;
            ))
            .contains("version = 2")
        );
        assert!(
            refused(quote!(
                #[message(name = "a.b", version = 2, downgrade)]
                struct Add;
            ))
            .contains("needs both")
        );
    }

    #[test]
    fn the_expansion_says_what_the_wire_is_to_know() {
        let text = expand(quote!(
            #[message(name = "a.b", version = 4, codec = "b2", upgrade_from = Old, schema)]
            struct Add(u64);
        ))
        .unwrap()
        .to_string();
        for part in ["Codec :: B2", "OLDEST : u16 = 3u16", "upgraded :: < Old , Self >", "of :: < Self , () >"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn the_expansion_names_reply_version_and_lane() {
        let text = expand(quote!(
            #[message(name = "a.b", version = 3, reply = u64, lane = "bulk")]
            struct Add(u64);
        ))
        .unwrap()
        .to_string();
        for part in ["type Reply = u64", "NAME : & 'static str = \"a.b\"", "3u16", "Lane :: Bulk"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
