//! The flags of the conformance suite. The suite is asked by them; `cargo xtask` has the same ones, looks at them
//! before anything is built, and hands them on.
//!
//! **Architecture invariant:** this crate links no MLX, as xtask does not.
#![forbid(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{PathBuf, absolute};

use clap::Args;

mod filter;

pub use filter::{Filter, Shard, label, without_device};

/// The layers that there are where no other backend is judged.
pub const LAYERS: [&str; 8] = [
    "oracle", "native", "nx", "nif", "backend", "compiler", "grad", "slices",
];

/// What the suite is asked, beside what libtest knows.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// Which trials to run.
    #[command(flatten)]
    pub filter: Filter,
    /// Only the cases in this file, which may stand anywhere. May be given again.
    #[arg(long = "case", value_name = "FILE")]
    pub cases: Vec<PathBuf>,
    /// The models of the layer slices: those in this folder instead of fixtures/slices.
    #[arg(long, value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// The layers that have to run.
    #[command(flatten)]
    pub require: Required,
    /// Write report.json and report.html into this folder, relative to the repository.
    #[arg(long, value_name = "DIR", env = "EMILY_CONFORMANCE_REPORT")]
    pub report: Option<PathBuf>,
    /// The backend to judge instead of Emily.
    #[command(flatten)]
    pub peer: PeerFlags,
    /// Also print where the time went: layers, ops, the slowest trials.
    #[arg(long)]
    pub timings: bool,
}

/// The layers whose absence is red.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct Required {
    /// Red when this layer cannot run here. May be given again.
    #[arg(
        long = "require",
        value_name = "LAYER",
        env = "EMILY_CONFORMANCE_REQUIRE",
        value_delimiter = ','
    )]
    pub required: Vec<String>,
}

/// A backend that is no part of Emily; docs/judge-your-backend.md describes them.
#[derive(Args, Clone, Debug, Default, PartialEq)]
pub struct PeerFlags {
    /// Judge this backend, an Elixir term, instead of Emily: Torchx.Backend, {EXLA.Backend, []}.
    #[arg(long, value_name = "TERM")]
    pub nx_backend: Option<String>,
    /// Its code: an ebin folder, or one of applications as _build/dev/lib. May be given again.
    #[arg(long, value_name = "DIR", requires = "nx_backend")]
    pub code_path: Vec<PathBuf>,
    /// Its known differences. May be given again.
    #[arg(long, value_name = "FILE", requires = "nx_backend")]
    pub ledger: Vec<PathBuf>,
    /// Write its table into this file.
    #[arg(long, value_name = "FILE", requires = "nx_backend")]
    pub page: Option<PathBuf>,
    /// What it ran on, for the page.
    #[arg(long, value_name = "TEXT", requires = "page")]
    pub note: Option<String>,
    /// Red when it differs in a way that no ledger has.
    #[arg(long, requires = "nx_backend")]
    pub strict: bool,
}

impl Flags {
    /// This layer alone, which has to run, and these dtypes of it; all of them where there are none.
    pub fn of_layer(name: &str, dtypes: Vec<String>) -> Flags {
        Flags {
            filter: Filter {
                layers: vec![name.to_owned()],
                dtypes,
                ..Filter::default()
            },
            require: Required {
                required: vec![name.to_owned()],
            },
            ..Flags::default()
        }
    }

    /// What is wrong with each layer that is none of these: misspelt, it would silently run nothing.
    pub fn unknown_layers(&self, known: &[&str]) -> Vec<String> {
        let asked = self.filter.layers.iter().chain(&self.require.required);
        asked
            .filter(|layer| !known.contains(&without_device(layer)))
            .map(|layer| format!("unknown layer {layer:?}; known are {}", known.join(" ")))
            .collect()
    }

    /// The same for a program in another folder, as the suite is; the report's is relative to the repository.
    ///
    /// # Errors
    /// An empty path, or no working directory.
    pub fn for_any_folder(mut self) -> io::Result<Flags> {
        let PeerFlags {
            code_path,
            ledger,
            page,
            ..
        } = &mut self.peer;
        let lists = [&mut self.cases, code_path, ledger];
        let paths = lists.into_iter().flatten();
        for path in paths.chain(&mut self.models).chain(page) {
            *path = absolute(&*path)?;
        }
        Ok(self)
    }

    /// The same as words of a command line.
    pub fn words(&self) -> Vec<OsString> {
        let Flags {
            filter:
                Filter {
                    layers,
                    ops,
                    dtypes,
                    devices,
                    shard,
                },
            cases,
            models,
            require: Required { required },
            report,
            peer:
                PeerFlags {
                    nx_backend,
                    code_path,
                    ledger,
                    page,
                    note,
                    strict,
                },
            timings,
        } = self;
        let shard = shard.map(|shard| shard.to_string());
        let texts: [(&str, &[String]); 8] = [
            ("--layer", layers),
            ("--op", ops),
            ("--dtype", dtypes),
            ("--device", devices),
            ("--shard", shard.as_slice()),
            ("--require", required),
            ("--nx-backend", nx_backend.as_slice()),
            ("--note", note.as_slice()),
        ];
        let paths: [(&str, &[PathBuf]); 6] = [
            ("--case", cases),
            ("--models", models.as_slice()),
            ("--report", report.as_slice()),
            ("--code-path", code_path),
            ("--ledger", ledger),
            ("--page", page.as_slice()),
        ];
        let switches = [("--timings", *timings), ("--strict", *strict)];
        let mut words: Vec<OsString> = Vec::new();
        for (flag, values) in texts {
            words.extend(values.iter().map(|value| word(flag, value.as_ref())));
        }
        for (flag, values) in paths {
            words.extend(values.iter().map(|value| word(flag, value.as_ref())));
        }
        let on = switches.into_iter().filter(|(_, on)| *on);
        words.extend(on.map(|(flag, _)| OsString::from(flag)));
        words
    }
}

/// A flag and its value in one word, so that a value may look like a flag.
fn word(flag: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(flag);
    word.push("=");
    word.push(value);
    word
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn parsed(words: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Flags {
        let command = Flags::augment_args(Command::new("suite")).no_binary_name(true);
        let matches = command.try_get_matches_from(words).unwrap();
        Flags::from_arg_matches(&matches).unwrap()
    }

    const EACH: [&str; 17] = [
        "--layer=oracle",
        "--layer=native@gpu",
        "--op=add",
        "--dtype=f32",
        "--device=cpu",
        "--shard=1/4",
        "--case=a.toml",
        "--models=models",
        "--require=nx",
        "--report=report",
        "--nx-backend={My.Backend, []}",
        "--code-path=ebin",
        "--ledger=ledger.toml",
        "--page=page.md",
        "--note=--a machine",
        "--strict",
        "--timings",
    ];

    #[test]
    fn every_flag_is_handed_on() {
        let command = Flags::augment_args(Command::new("suite"));
        let named = |word: &'static str| word.trim_start_matches("--").split('=').next();
        let names: Vec<&str> = EACH.into_iter().filter_map(named).collect();
        for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(names.contains(&flag), "{flag}");
        }
        let flags = parsed(EACH);
        assert_eq!(flags.words().len(), EACH.len());
        assert_eq!(parsed(flags.words()), flags);
    }

    #[test]
    fn files_are_named_from_any_folder() {
        let flags = parsed(EACH).for_any_folder().unwrap();
        let paths = [
            &flags.cases[0],
            &flags.peer.code_path[0],
            &flags.peer.ledger[0],
        ];
        let optional = [&flags.models, &flags.peer.page];
        let optional = optional.map(|path| path.as_ref().unwrap());
        for path in paths.into_iter().chain(optional) {
            assert!(path.is_absolute(), "{}", path.display());
        }
        assert_eq!(flags.report.as_deref(), Some(Path::new("report")));
    }

    #[test]
    fn a_layer_is_known_on_any_device() {
        let flags = parsed(["--layer=native@gpu", "--require=nosuch"]);
        let problems = flags.unknown_layers(&LAYERS);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("unknown layer \"nosuch\"; known are oracle native"));
    }
}
