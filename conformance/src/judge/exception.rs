//! What a user of Nx sees of an error: an exception of this module that says this.

use emily_oracle::Answer;
use emily_spec::{ErrorKind, Result};

use super::Judge;
use crate::case::Want;
use crate::compare::Comparison;
use crate::layer::Raised;

/// The module of the exception for an error of this kind, where the case names none: Nx's own for what
/// Nx knows, and Emily's for the rest.
fn usual_module(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Shape | ErrorKind::Dtype | ErrorKind::Argument | ErrorKind::Index => {
            "ArgumentError"
        }
        ErrorKind::Numeric => "ArithmeticError",
        ErrorKind::Memory | ErrorKind::Device | ErrorKind::Stopped | ErrorKind::Internal => {
            "Emily.Error"
        }
    }
}

impl Judge<'_> {
    /// Holds an exception against what the case says that users see.
    ///
    /// Nx checks shapes, dtypes and arguments itself, whatever the backend, and only the case knows its
    /// words. What depends on values each backend says in its own: Emily's are the oracle's.
    pub(super) fn exception(
        &self,
        layer: &str,
        kind: ErrorKind,
        raised: Raised<'_>,
        reference: &Result<Vec<Answer>>,
    ) -> Comparison {
        let stated = match self.want {
            Want::Error(stated) => Some(stated),
            Want::Oracle | Want::Recorded | Want::Values(_) => None,
        };
        // A record in the ledger is of a kind only.
        let owes_words = matches!(self.want, Want::Error(_) | Want::Recorded);
        let kind = stated.map_or(kind, |stated| stated.kind);
        let module = stated.and_then(|stated| stated.raises.as_deref());
        let module = module.unwrap_or(usual_module(kind));
        let of_case = stated.and_then(|stated| stated.says.as_deref());
        let of_oracle = reference.as_ref().err().map(|error| error.message.as_str());
        let says = match kind {
            _ if !owes_words => None,
            ErrorKind::Numeric if layer == "nx" => Some("bad argument in arithmetic expression"),
            ErrorKind::Shape
            | ErrorKind::Dtype
            | ErrorKind::Argument
            | ErrorKind::Index
            | ErrorKind::Numeric
            | ErrorKind::Memory
            | ErrorKind::Device
            | ErrorKind::Stopped
            | ErrorKind::Internal => of_case.or(of_oracle),
        };
        let Raised {
            module: found,
            text,
        } = raised;
        let told = says.is_none_or(|says| text.contains(says));
        if module == found && told {
            return Comparison::agreed();
        }
        let saying = says.map_or_else(String::new, |says| format!(" that says {says:?}"));
        Comparison::broken(format!(
            "expected {module}{saying}, got ** ({found}) {text}"
        ))
    }
}
