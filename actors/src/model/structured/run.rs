//! One structured answer in the making: ask, follow, check, ask again.

use std::marker::PhantomData;
use std::sync::Arc;

use beluga_core::{
    AnswerDraft, BoxStream, CallContext, ChatMessage, ChatModel, Effect, Error, ModelAnswer, ModelChunk, ModelRequest,
    Part, Result, Role, SchemaSupport, ToolChoice, ToolDefinition, ToolOutcome, ToolResult, Usage,
};
use futures_util::{StreamExt, stream};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::form::{Form, complaint};
use super::partial::PartialJson;
use super::{StructuredAnswer, StructuredItem, StructuredMode, unfit};

/// The tool that stands for the answer.
const ANSWER_TOOL: &str = "answer";

struct Run<T> {
    model: Arc<dyn ChatModel>,
    form: Form,
    by_tool: bool,
    request: ModelRequest,
    cx: CallContext,
    tries: u32,
    tries_max: u32,
    usage: Usage,
    attempt: Option<Attempt>,
    done: bool,
    output: PhantomData<fn() -> T>,
}

/// An answer while it comes.
struct Attempt {
    chunks: BoxStream<'static, Result<ModelChunk>>,
    draft: AnswerDraft,
    partial: PartialJson,
}

/// Starts a run; nothing is sent before the stream is polled.
pub(super) fn start<T: DeserializeOwned + JsonSchema + Send + 'static>(
    model: Arc<dyn ChatModel>,
    mode: StructuredMode,
    retries: u32,
    request: ModelRequest,
    cx: CallContext,
) -> BoxStream<'static, Result<StructuredItem<T>>> {
    match Run::<T>::new(model, mode, retries, request, cx) {
        Ok(run) => Box::pin(stream::try_unfold(run, |mut run| async move {
            let item = run.next().await?;
            Ok(item.map(|item| (item, run)))
        })),
        Err(error) => Box::pin(stream::iter([Err(error)])),
    }
}

impl<T: DeserializeOwned + JsonSchema + Send + 'static> Run<T> {
    fn new(
        model: Arc<dyn ChatModel>,
        mode: StructuredMode,
        retries: u32,
        mut request: ModelRequest,
        cx: CallContext,
    ) -> Result<Self> {
        if !request.tools.is_empty() {
            return Err(Error::invalid_input(
                "a structured request has no tools: an agent runs tools, a model does not",
            )
            .with("field", "tools"));
        }
        let form = Form::of::<T>()?;
        let info = model.info();
        let mode = match mode {
            StructuredMode::Auto if info.schema != SchemaSupport::None => StructuredMode::Native,
            StructuredMode::Auto if info.supports_tools => StructuredMode::Tool,
            StructuredMode::Auto => StructuredMode::Prompt,
            told => told,
        };
        match mode {
            StructuredMode::Tool => {
                request.tools = [tool(&form)].into();
                request.options.tool_choice = ToolChoice::Tool(ANSWER_TOOL.to_owned());
            }
            StructuredMode::Prompt => {
                let words = format!("Answer with JSON of this schema and nothing else:\n{}", form.schema);
                let systems = request.messages.iter().take_while(|message| message.role == Role::System).count();
                request.messages.insert(systems, Arc::new(ChatMessage::system(words)));
            }
            _ => request.options.format = Some(form.format(&info.schema)),
        }
        Ok(Self {
            model,
            form,
            by_tool: mode == StructuredMode::Tool,
            request,
            cx,
            tries: 0,
            tries_max: retries.saturating_add(1),
            usage: Usage::default(),
            attempt: None,
            done: false,
            output: PhantomData,
        })
    }

    async fn next(&mut self) -> Result<Option<StructuredItem<T>>> {
        while !self.done {
            let mut attempt = self.attempt.take().unwrap_or_else(|| self.ask());
            while let Some(chunk) = attempt.chunks.next().await {
                if let Some(known) = attempt.push(chunk?, self.by_tool) {
                    self.attempt = Some(attempt);
                    return Ok(Some(StructuredItem::Partial(known)));
                }
            }
            if let Some(output) = self.end(attempt.draft.finish()?)? {
                self.done = true;
                let answer = StructuredAnswer { output, usage: self.usage, tries: self.tries };
                return Ok(Some(StructuredItem::Done(answer)));
            }
        }
        Ok(None)
    }

    fn ask(&mut self) -> Attempt {
        self.tries += 1;
        Attempt {
            chunks: self.model.stream(Arc::new(self.request.clone()), self.cx.clone()),
            draft: AnswerDraft::default(),
            partial: PartialJson::in_prose(),
        }
    }

    /// Reads a whole answer. `None` if it is sent back.
    fn end(&mut self, answer: ModelAnswer) -> Result<Option<T>> {
        self.usage += answer.usage;
        // A model that answers in words although it has a tool may yet answer right.
        let call = answer.message.tool_calls().find(|call| call.name == ANSWER_TOOL).filter(|_| self.by_tool).cloned();
        let text = call.as_ref().map_or_else(|| answer.message.text(), |call| call.arguments.clone());
        let error = match self.form.read(&text) {
            Ok(output) => return Ok(Some(output)),
            Err(error) => error,
        };
        if self.tries >= self.tries_max {
            self.done = true;
            return Err(unfit(&error, &text, self.tries));
        }
        // Every call is answered: vendors refuse a conversation with one that is not.
        let results: Vec<ToolResult> = answer
            .message
            .tool_calls()
            .map(|call| ToolResult {
                outcome: ToolOutcome::Error,
                ..ToolResult::new(&call.id, &call.name, vec![Part::text(complaint(&error))])
            })
            .collect();
        let told =
            if results.is_empty() { ChatMessage::user(complaint(&error)) } else { ChatMessage::tool_results(results) };
        self.request.messages.extend([Arc::new(answer.message), Arc::new(told)]);
        Ok(None)
    }
}

impl Attempt {
    /// Takes a chunk; returns what is known now, if it is more.
    fn push(&mut self, chunk: ModelChunk, by_tool: bool) -> Option<Value> {
        let known = match &chunk {
            ModelChunk::ToolCallDelta { index: 0, arguments, .. } if by_tool => self.partial.learn(arguments),
            ModelChunk::Text { text } if !by_tool => self.partial.learn(text),
            _ => None,
        };
        self.draft.push(chunk);
        known
    }
}

fn tool(form: &Form) -> ToolDefinition {
    ToolDefinition {
        name: ANSWER_TOOL.to_owned(),
        description: "Gives the answer.".to_owned(),
        input_schema: form.schema.clone(),
        effect: Effect::Pure,
        timeout: None,
        notes: None,
    }
}
