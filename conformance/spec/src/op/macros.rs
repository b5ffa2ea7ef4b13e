//! What is written down once of an op, and all that follows from it.

/// Writes down a fieldless enum of kinds with their rows, or a struct of attributes. Doc comments
/// are written once: they are also the text of what is generated from the rows.
macro_rules! ops {
    (
        $(#[doc = $doc:literal])+
        pub enum $kinds:ident($attributes:ty) {
            $($(#[doc = $text:literal])+ $kind:ident = $row:expr,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kinds {
            $($(#[doc = $text])+ $kind,)+
        }

        impl $kinds {
            /// All of them.
            pub const ALL: &'static [$kinds] = &[$($kinds::$kind),+];

            /// The op's row.
            pub const fn row(self) -> &'static $crate::Row {
                match self {
                    $($kinds::$kind => const {
                        &$crate::Row {
                            kind: $crate::OpKind::$kinds($kinds::$kind),
                            kinds: Some(stringify!($kinds)),
                            doc: concat!($($text, "\n"),+),
                            attributes: <$attributes>::ATTRIBUTES,
                            ..$row
                        }
                    },)+
                }
            }
        }
    };
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident = $row:expr; {
            $($(#[doc = $text:literal])+ $(#[serde($serde:ident)])? $field:ident: $type:ty,)*
        }
    ) => {
        $crate::op::ops! {
            $(#[doc = $doc])+
            $vis struct $name {
                $($(#[doc = $text])+ $(#[serde($serde)])? $field: $type,)*
            }
        }

        impl $name {
            /// The op's row.
            pub const ROW: &'static $crate::Row = &$crate::Row {
                kind: $crate::OpKind::$name,
                doc: concat!($($doc, "\n"),+),
                attributes: $name::ATTRIBUTES,
                ..$row
            };
        }
    };
    (
        $(#[doc = $doc:literal])+
        $vis:vis struct $name:ident {
            $($(#[doc = $text:literal])+ $(#[serde($serde:ident)])? $field:ident: $type:ty,)*
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        $vis struct $name {
            $($(#[doc = $text])+ $(#[serde($serde)])? pub $field: $type,)*
        }

        impl $name {
            pub(crate) const ATTRIBUTES: &'static [$crate::Attribute] = &[
                $($crate::Attribute {
                    name: stringify!($field),
                    doc: concat!($($text, "\n"),+),
                    required: <$type as $crate::attribute::AsValue>::REQUIRED,
                    takes: <$type as $crate::attribute::AsValue>::TAKES,
                },)*
            ];
        }

        impl $crate::op::Visit for $name {
            #[allow(unused_variables, reason = "a struct without attributes visits none")]
            fn visit<'a>(&'a self, each: &mut dyn FnMut(&'static str, $crate::Value<'a>)) {
                $(each(
                    stringify!($field),
                    $crate::attribute::AsValue::as_value(&self.$field),
                );)*
            }
        }
    };
}
pub(crate) use ops;

/// Writes down every op once, where it belongs: `alone`, a struct that is its attributes; `kinds`, an enum whose ops
/// share the attributes in parentheses; `plain`, an enum whose ops have none. It becomes a variant of
/// [`Op`](crate::Op), with its attributes, and of [`OpKind`](crate::OpKind), without them; in
/// [`ROWS`](crate::ROWS); and how it is read and taken apart.
macro_rules! vocabulary {
    (
        alone: $($alone:ident,)+;
        kinds: $($kinds:ident($attributes:ident),)+;
        plain: $($plain:ident,)+;
    ) => {
        /// One operation with its attributes, without its operands.
        ///
        /// In text it is `{"op": "sum", "attrs": {"axes": [0]}}`; `attrs` may be left out where none is
        /// given. Operands are documented in the op's [`Row`], result types by [`Op::infer`].
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[expect(
            missing_docs,
            reason = "each variant is documented by the type that it holds"
        )]
        pub enum Op {
            $($plain($plain),)+
            $($kinds($kinds, $attributes),)+
            $($alone($alone),)+
        }

        /// An op without its attributes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[expect(
            missing_docs,
            reason = "each variant is documented by the op of its name"
        )]
        pub enum OpKind {
            $($plain($plain),)+
            $($kinds($kinds),)+
            $($alone,)+
        }

        /// Every op's row, families together.
        pub static ROWS: LazyLock<Vec<&'static Row>> = LazyLock::new(|| {
            let mut rows = Vec::new();
            $(rows.extend($plain::ALL.iter().map(|kind| kind.row()));)+
            $(rows.extend($kinds::ALL.iter().map(|kind| kind.row()));)+
            rows.extend([$($alone::ROW),+]);
            rows.sort_by_key(|row| row.family);
            rows
        });

        impl OpKind {
            /// The op with these attributes, from any serde format; no attributes are an empty map.
            ///
            /// # Errors
            /// The format's own: an unknown attribute, one that is missing, one of another type.
            pub fn read<'de, D: Deserializer<'de>>(
                self,
                attrs: D,
            ) -> std::result::Result<Op, D::Error> {
                match self {
                    $(OpKind::$plain(kind) => Plain::deserialize(attrs).map(|_| Op::$plain(kind)),)+
                    $(OpKind::$kinds(kind) => {
                        $attributes::deserialize(attrs).map(|attrs| Op::$kinds(kind, attrs))
                    })+
                    $(OpKind::$alone => $alone::deserialize(attrs).map(Op::$alone),)+
                }
            }
        }

        impl Op {
            fn parts(&self) -> (&'static Row, &dyn Attributes) {
                match self {
                    $(Op::$plain(kind) => (kind.row(), &Plain {}),)+
                    $(Op::$kinds(kind, attrs) => (kind.row(), attrs),)+
                    $(Op::$alone(attrs) => ($alone::ROW, attrs),)+
                }
            }
        }
    };
}
pub(crate) use vocabulary;
