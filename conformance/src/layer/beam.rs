//! The layers on the BEAM: one long-lived VM answers their calls over a pipe.
//!
//! `nif` calls `Emily.Native`, and needs Erlang and Elixir only. The others call Nx's own
//! functions, and need Nx: `nx` on its own backend, `backend` on Emily's, `compiler` under
//! `Nx.Defn.jit` with Emily's compiler, `grad` through `Nx.Defn.grad`. A [`peer`] is a layer for a
//! backend that is no part of Emily. A call that ends the VM is an error of that call; the next one
//! gets a new VM.

mod batch;
mod expressible;
mod models;
mod peer;
mod referee;
mod session;
mod setup;
mod term;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use emily_spec::{DType, Error, ErrorKind, Op, Result, Tensor};

use super::{Absent, Layer, Question, Raised, Reference};
use crate::compare::Form;
use crate::plan::Call;
use crate::view::Input;
use batch::Deaths;
pub use models::{ModelQuestion, Models};
pub use peer::Peer;
use session::{Pool, Silence};
use setup::Code;
use term::{Answer, Operands};

/// VMs that work at the same time; each computes on several threads of its own.
const VMS: usize = 2;

/// The time that one message's calls may take; the slowest call that ends (65,536 elements on
/// `Nx.BinaryBackend`) takes about a second.
const CALL: Duration = Duration::from_secs(30);

/// The same for a model; the slowest, generation on `Nx.BinaryBackend`, takes a few seconds.
const MODEL: Duration = Duration::from_secs(120);

/// The servers that run one body of Elixir code, started when they are first asked for.
struct Servers {
    code: Code,
    deaths: Deaths,
    started: OnceLock<std::result::Result<Started, Absent>>,
}

struct Started {
    pool: Pool,
    versions: HashMap<String, String>,
}

impl Servers {
    fn new(code: Code) -> Arc<Servers> {
        Arc::new(Servers {
            code,
            deaths: Deaths::default(),
            started: OnceLock::new(),
        })
    }

    fn started(&self) -> std::result::Result<&Started, Absent> {
        self.started
            .get_or_init(|| start(&self.code))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Whether they can run, and on a GPU where that is asked for.
    fn available(&self, gpu: bool) -> std::result::Result<(), Absent> {
        let started = self.started()?;
        if gpu && started.versions.get("gpu").is_none_or(|gpu| gpu != "true") {
            return Err(Absent {
                reason: "no GPU that this MLX can use".to_owned(),
                remedy: "a machine with a GPU, and MLX built for it (EMILY_MLX_VARIANT)".to_owned(),
            });
        }
        Ok(())
    }

    /// The versions of what runs there.
    fn versions(&self) -> HashMap<String, String> {
        let started = self.started();
        let mut versions = started.map_or_else(|_| HashMap::new(), |s| s.versions.clone());
        versions.remove("gpu");
        versions
    }

    fn ask(&self, request: &[u8]) -> std::result::Result<Answer, Silence> {
        let started = self.started();
        let started = started.map_err(|absent| absent.reason)?;
        let answer = started.pool.ask(request)?;
        term::answer(&answer).map_err(|error| error.to_string())
    }
}

/// Builds what a server needs and asks one what runs there.
fn start(code: &Code) -> std::result::Result<Started, Absent> {
    let time = match code {
        Code::Native | Code::Nx | Code::Peer(_) => CALL,
        Code::Models => MODEL,
    };
    let pool = Pool::new(setup::command(code)?, VMS, time);
    let remedy = match code {
        Code::Native | Code::Nx | Code::Models => {
            "see the reason; `mix emily.doctor` in elixir/ looks closer"
        }
        Code::Peer(_) => "see docs/judge-your-backend.md",
    };
    let absent = |reason| Absent {
        reason,
        remedy: remedy.to_owned(),
    };
    let answer = match pool.ask(&term::versions()) {
        Ok(answer) => answer,
        Err(reason) => return Err(absent(reason)),
    };
    let versions = match term::answer(&answer) {
        Ok(Answer::Versions(versions)) => versions,
        Ok(_) => return Err(absent("the server did not say what runs there".to_owned())),
        Err(error) => return Err(absent(error.to_string())),
    };
    match versions.get("missing") {
        Some(reason) => Err(absent(reason.clone())),
        None => Ok(Started { pool, versions }),
    }
}

fn internal(message: String) -> Error {
    Error::new(ErrorKind::Internal, message)
}

fn another_question() -> Error {
    internal("an answer to another question".to_owned())
}

/// Calls for a layer on the BEAM, as its server is asked them: see elixir/conformance/server.ex.
pub fn request(layer: &str, device: &str, calls: &[(&Op, &[Input])]) -> Vec<u8> {
    term::run(layer, device, calls, Operands::Viewed)
}

/// Every layer on the BEAM, the lowest first.
pub fn beam() -> Vec<Box<dyn Layer>> {
    let native = Servers::new(Code::Native);
    let nx = Servers::new(Code::Nx);
    let layer = |kind, gpu| -> Box<dyn Layer> {
        let servers = if kind == Kind::Nif { &native } else { &nx };
        Box::new(Beam {
            kind,
            gpu,
            servers: servers.clone(),
        })
    };
    vec![
        layer(Kind::Nx, false),
        layer(Kind::Nif, false),
        layer(Kind::Nif, true),
        layer(Kind::Backend, false),
        layer(Kind::Backend, true),
        layer(Kind::Compiler, false),
        layer(Kind::Compiler, true),
        layer(Kind::Grad, false),
        layer(Kind::Grad, true),
    ]
}

/// The layer of a foreign backend.
pub fn peer(peer: &Peer) -> Box<dyn Layer> {
    Box::new(Beam {
        kind: Kind::Peer(peer.name),
        gpu: false,
        servers: Servers::new(Code::Peer(peer.clone())),
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nif,
    Nx,
    Backend,
    Compiler,
    Grad,
    /// A foreign backend, of this name.
    Peer(&'static str),
}

/// A layer on the BEAM, on one device.
struct Beam {
    kind: Kind,
    gpu: bool,
    servers: Arc<Servers>,
}

impl Beam {
    fn ask(&self, request: &[u8]) -> Result<Answer> {
        self.servers.ask(request).map_err(internal)
    }

    /// Asks these calls in one message: an answer for each, or why there is none for any.
    fn together(&self, calls: &[(&Op, &[Input])]) -> Result<Vec<Result<Vec<Tensor>>>> {
        let operands = match self.kind {
            Kind::Nif | Kind::Backend | Kind::Compiler | Kind::Peer(_) => Operands::Viewed,
            Kind::Nx | Kind::Grad => Operands::Plain,
        };
        let layer = match self.kind {
            Kind::Peer(_) => "peer",
            Kind::Nif | Kind::Nx | Kind::Backend | Kind::Compiler | Kind::Grad => self.name(),
        };
        let answer = self.ask(&term::run(layer, self.device(), calls, operands))?;
        if let Answer::Each(answers) = answer
            && answers.len() == calls.len()
        {
            return Ok(answers.into_iter().map(|a| self.result(a)).collect());
        }
        Err(another_question())
    }

    /// What an answer says of its call.
    fn result(&self, answer: Answer) -> Result<Vec<Tensor>> {
        match answer {
            Answer::Results(results) => Ok(results),
            Answer::Error(kind, message) => {
                let message = match self.kind {
                    Kind::Nif => message,
                    Kind::Nx | Kind::Backend | Kind::Compiler | Kind::Grad | Kind::Peer(_) => {
                        exception("Emily.Error", &message)
                    }
                };
                Err(Error::new(kind_named(&kind), message))
            }
            Answer::Unanswered(module, text) => {
                Err(Error::new(ErrorKind::Numeric, exception(&module, &text)))
            }
            // An exception says that the call is wrong, and not in which of our ways.
            Answer::Raised(module, text) => {
                Err(Error::new(ErrorKind::Argument, exception(&module, &text)))
            }
            Answer::Each(_) | Answer::Versions(_) => Err(another_question()),
        }
    }
}

impl Layer for Beam {
    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Nif => "nif",
            Kind::Nx => "nx",
            Kind::Backend => "backend",
            Kind::Compiler => "compiler",
            Kind::Grad => "grad",
            Kind::Peer(name) => name,
        }
    }

    /// What any backend can be asked, Emily's is.
    fn asked_as(&self) -> &'static str {
        match self.kind {
            Kind::Peer(_) => "backend",
            Kind::Nif | Kind::Nx | Kind::Backend | Kind::Compiler | Kind::Grad => self.name(),
        }
    }

    fn is_foreign(&self) -> bool {
        matches!(self.kind, Kind::Peer(_))
    }

    fn form(&self) -> Form {
        match self.kind {
            Kind::Nx => Form::Rounded,
            Kind::Peer(_) => Form::Open,
            Kind::Nif | Kind::Backend | Kind::Compiler | Kind::Grad => Form::Exact,
        }
    }

    fn flags(&self) -> String {
        match &self.servers.code {
            Code::Peer(peer) => peer.flags(),
            Code::Native | Code::Nx | Code::Models => String::new(),
        }
    }

    fn device(&self) -> &'static str {
        if self.gpu { "gpu" } else { "cpu" }
    }

    fn reference(&self) -> Reference {
        match self.kind {
            Kind::Nif => Reference::Layer("native"),
            Kind::Nx | Kind::Peer(_) => Reference::Oracle,
            Kind::Backend => Reference::OracleAnd("nx"),
            Kind::Compiler => Reference::Layer("backend"),
            Kind::Grad => Reference::Differences,
        }
    }

    fn has(&self, dtype: DType) -> bool {
        !self.gpu || dtype != DType::F64
    }

    fn takes(&self, question: &Question<'_>) -> bool {
        match self.kind {
            Kind::Nif => true,
            Kind::Nx => expressible::in_nx(question) && referee::takes(question),
            Kind::Peer(_) => expressible::in_nx(question) && referee::is_meant(question),
            Kind::Backend | Kind::Compiler => expressible::in_nx(question),
            Kind::Grad => {
                let by = emily_oracle::grad::operands(question.op, question.types);
                !by.is_empty() && expressible::in_nx(question)
            }
        }
    }

    /// Nx's exceptions have no kinds.
    fn raised<'e>(&self, error: &'e Error) -> Option<Raised<'e>> {
        let rest = error.message.strip_prefix("** (")?;
        let (module, text) = rest.split_once(") ")?;
        (self.kind != Kind::Nif).then_some(Raised { module, text })
    }

    /// `Nx.BinaryBackend` computes with Erlang's numbers, which have no infinities and no NaN: where
    /// those would be the answer, it raises. A foreign backend may have ended the VM too often.
    fn abstains(&self, error: &Error) -> bool {
        match self.kind {
            Kind::Nx => error.kind == ErrorKind::Numeric,
            Kind::Peer(_) => batch::is_spared(error),
            Kind::Nif | Kind::Backend | Kind::Compiler | Kind::Grad => false,
        }
    }

    fn available(&self) -> std::result::Result<(), Absent> {
        self.servers.available(self.gpu)
    }

    fn versions(&self) -> HashMap<String, String> {
        self.servers.versions()
    }

    fn run(&self, op: &Op, inputs: &[Input]) -> Result<Vec<Tensor>> {
        self.together(&[(op, inputs)])?.swap_remove(0)
    }

    fn run_all(&self, calls: &[&Call]) -> Vec<Result<Vec<Tensor>>> {
        let calls: Vec<_> = calls.iter().map(|c| (&c.op, &c.inputs[..])).collect();
        let ask = |calls: &[(&Op, &[Input])]| self.together(calls);
        let Kind::Peer(_) = self.kind else {
            return batch::each(&calls, &ask);
        };
        let kind = |(op, inputs): &(&Op, &[Input])| {
            let dtypes = inputs.iter().map(|input| input.tensor.dtype().name());
            format!("{} {}", op.name(), dtypes.collect::<Vec<_>>().join(" "))
        };
        batch::sparing(&calls, kind, &self.servers.deaths, &ask)
    }

    fn gradients(
        &self,
        op: &Op,
        inputs: &[Input],
        wrt: &[usize],
        weights: &[Tensor],
    ) -> Result<Vec<Tensor>> {
        self.result(self.ask(&term::grad(self.device(), op, inputs, wrt, weights))?)
    }
}

/// An exception as Elixir prints it; [`Layer::raised`] reads it.
fn exception(module: &str, text: &str) -> String {
    format!("** ({module}) {text}")
}

fn kind_named(name: &str) -> ErrorKind {
    let kind = serde_json::from_value(serde_json::Value::String(name.to_owned()));
    kind.unwrap_or(ErrorKind::Internal)
}
