//! What each line of the generated bindings means.
//!
//! | line | becomes |
//! |---|---|
//! | `choices! { E { A = "a", } }` | an enumeration with a variant for words that it does not know |
//! | `data! { T: Base { field "wire" "since" Type, } }` | a struct that dereferences to its base, its codec, its [`super::TypeInfo`] |
//! | `poly! { concrete AnyT: T { Sub, } }` | an enumeration of `T` and its subtypes, told apart by `xsi:type` |
//! | `methods! { M "wire" "On" "since" -> Reply { … } }` | a struct for the call, its codec |
//! | `managed! { "T" "Base" { "property" "since" "Type", } }` | the table of managed types |

macro_rules! choices {
    ($($name:ident { $($variant:ident = $wire:literal,)* })*) => {$(
        #[doc = concat!("The vim25 enumeration `", stringify!($name), "`.")]
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = concat!("`", $wire, "`")] $variant,)*
            /// A word that these bindings do not know.
            Other(String),
        }

        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Returns the word on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)*
                    Self::Other(word) => word,
                }
            }
        }

        impl Default for $name {
            /// The first word of the enumeration.
            fn default() -> Self {
                Self::ALL[0].clone()
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::wire::Value for $name {
            const TYPE: $crate::wire::TypeName = $crate::wire::TypeName::vim(stringify!($name));

            fn fill(&self, element: &mut $crate::wire::Element, _encode: $crate::wire::Encode) {
                self.as_str().clone_into(&mut element.text);
            }

            fn read(
                element: &$crate::wire::Element,
                decode: &mut $crate::wire::Decode,
            ) -> Result<Self, $crate::wire::DecodeError> {
                match element.text.trim() {
                    $($wire => Ok(Self::$variant),)*
                    word if decode.strict => {
                        let what = format!("`{word}` is no {}", stringify!($name));
                        Err($crate::wire::DecodeError::at(&element.name, what))
                    }
                    word => Ok(Self::Other(word.to_owned())),
                }
            }
        }
    )*};
}

macro_rules! data {
    ($($name:ident $(: $base:ident)? { $($field:ident $wire:literal $since:literal $kind:ty,)* })*) => {
        $(
            #[doc = concat!("The vim25 data object `", stringify!($name), "`.")]
            #[derive(Clone, Debug, Default, PartialEq)]
            pub struct $name {
                $(
                    #[doc = concat!("The fields of `", stringify!($base), "`, which come first on the wire.")]
                    pub base: $base,
                )?
                $(
                    #[doc = concat!("`", $wire, "`")]
                    pub $field: $kind,
                )*
            }

            $(
                impl std::ops::Deref for $name {
                    type Target = $base;

                    fn deref(&self) -> &$base {
                        &self.base
                    }
                }

                impl std::ops::DerefMut for $name {
                    fn deref_mut(&mut self) -> &mut $base {
                        &mut self.base
                    }
                }
            )?

            impl $name {
                fn fill_fields(&self, out: &mut Vec<$crate::wire::Element>, encode: $crate::wire::Encode) {
                    // Some types have neither base nor fields.
                    let _ = (&out, encode);
                    $(<$base>::fill_fields(&self.base, out, encode);)?
                    $(
                        const { assert!($crate::wire::macros::is_known_version($since)) };
                        if <$kind as $crate::wire::Slot>::REQUIRED
                            || encode.version >= $crate::wire::ApiVersion::since($since)
                        {
                            $crate::wire::Slot::write(&self.$field, $wire, out, encode);
                        }
                    )*
                }

                fn read_fields(
                    fields: &mut $crate::wire::Fields<'_>,
                    decode: &mut $crate::wire::Decode,
                ) -> Result<Self, $crate::wire::DecodeError> {
                    let _ = (&fields, &decode);
                    Ok(Self {
                        $(base: <$base>::read_fields(fields, decode)?,)?
                        $($field: $crate::wire::Slot::take($wire, $crate::wire::ApiVersion::since($since), fields, decode)?,)*
                    })
                }
            }

            impl $crate::wire::Value for $name {
                const TYPE: $crate::wire::TypeName = $crate::wire::TypeName::vim(stringify!($name));

                fn fill(&self, element: &mut $crate::wire::Element, encode: $crate::wire::Encode) {
                    self.fill_fields(&mut element.children, encode);
                }

                fn read(
                    element: &$crate::wire::Element,
                    decode: &mut $crate::wire::Decode,
                ) -> Result<Self, $crate::wire::DecodeError> {
                    let mut fields = $crate::wire::Fields::new(stringify!($name), element);
                    let value = Self::read_fields(&mut fields, decode).map_err(|error| error.inside(&element.name))?;
                    fields.finish(decode).map_err(|error| error.inside(&element.name))?;
                    Ok(value)
                }
            }
        )*

        /// All data objects above, sorted by name.
        pub(super) static TYPES: &[$crate::wire::TypeInfo] = &[$(
            $crate::wire::TypeInfo {
                name: stringify!($name),
                base: $crate::wire::macros::first(&[$(stringify!($base))?]),
                fields: &[$(
                    $crate::wire::FieldInfo {
                        name: $wire,
                        since: $crate::wire::ApiVersion::since($since),
                        type_name: <$kind as $crate::wire::Slot>::TYPE,
                        list: <$kind as $crate::wire::Slot>::LIST,
                    },
                )*],
                check: |element, decode| <$name as $crate::wire::Value>::read(element, decode).map(drop),
            },
        )*];
    };
}

macro_rules! poly {
    ($($strictness:ident $name:ident: $base:ident { $($sub:ident,)* })*) => {$(
        #[doc = concat!("`", stringify!($base), "` or one of its subtypes, as `xsi:type` says.")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum $name {
            #[doc = concat!("`", stringify!($base), "`")]
            $base(Box<$base>),
            $(
                #[doc = concat!("`", stringify!($sub), "`")]
                $sub(Box<$sub>),
            )*
            /// A subtype that these bindings do not know: its name, and what it shares with its base.
            Unknown(String, Box<$base>),
        }

        impl $name {
            /// Returns the name that `xsi:type` says.
            pub fn type_name(&self) -> &str {
                match self {
                    Self::$base(_) => stringify!($base),
                    $(Self::$sub(_) => stringify!($sub),)*
                    Self::Unknown(name, _) => name,
                }
            }
        }

        impl std::ops::Deref for $name {
            type Target = $base;

            fn deref(&self) -> &$base {
                match self {
                    Self::$base(value) | Self::Unknown(_, value) => value,
                    $(Self::$sub(value) => value,)*
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$base(Box::default())
            }
        }

        impl From<$base> for $name {
            fn from(value: $base) -> Self {
                Self::$base(Box::new(value))
            }
        }

        $(
            impl From<$sub> for $name {
                fn from(value: $sub) -> Self {
                    Self::$sub(Box::new(value))
                }
            }
        )*

        impl $crate::wire::Value for $name {
            const TYPE: $crate::wire::TypeName = $crate::wire::TypeName::vim(stringify!($base));

            fn fill(&self, element: &mut $crate::wire::Element, encode: $crate::wire::Encode) {
                // As servers do: what is of the declared type does not say so, unless that is only a base.
                let is_declared = matches!(self, Self::$base(_));
                if !is_declared || $crate::wire::macros::is_only_base(stringify!($strictness)) {
                    let (namespace, name) = ($crate::wire::Namespace::Vim, self.type_name().to_owned());
                    element.xsi_type = Some($crate::wire::XsiType { namespace, name });
                }
                match self {
                    Self::$base(value) | Self::Unknown(_, value) => value.fill(element, encode),
                    $(Self::$sub(value) => value.fill(element, encode),)*
                }
            }

            fn read(
                element: &$crate::wire::Element,
                decode: &mut $crate::wire::Decode,
            ) -> Result<Self, $crate::wire::DecodeError> {
                match element.xsi_type.as_ref().map(|xsi| xsi.name.as_str()) {
                    None => {
                        $crate::wire::macros::$strictness(element, stringify!($base), decode)?;
                        $crate::wire::Value::read(element, decode).map(Self::$base)
                    }
                    Some(stringify!($base)) => $crate::wire::Value::read(element, decode).map(Self::$base),
                    $(Some(stringify!($sub)) => $crate::wire::Value::read(element, decode).map(Self::$sub),)*
                    Some(name) if decode.strict => {
                        let what = format!("`{name}` is no known {}", stringify!($base));
                        Err($crate::wire::DecodeError::at(&element.name, what))
                    }
                    Some(name) => {
                        // What the subtype adds is not unknown to its base, so nothing is noted.
                        let value = $crate::wire::Value::read(element, &mut $crate::wire::Decode::default())?;
                        Ok(Self::Unknown(name.to_owned(), value))
                    }
                }
            }
        }
    )*};
}

macro_rules! methods {
    ($($name:ident $wire:literal $on:literal $since:literal -> $reply:ty {
        $($field:ident $fw:literal $fs:literal $kind:ty,)*
    })*) => {
        /// All calls below, sorted by name.
        pub(super) static METHODS: &[$crate::wire::MethodInfo] = &[$(
            $crate::wire::MethodInfo {
                name: $wire,
                on: $on,
                since: $crate::wire::ApiVersion::since($since),
                check_request: |element, decode| {
                    <$name as $crate::wire::Method>::from_element(element, decode).map(drop)
                },
                check_reply: |element, decode| {
                    <$reply as $crate::wire::Reply>::from_response(element, decode).map(drop)
                },
            },
        )*];

        $(
        #[doc = concat!("The call `", $wire, "` of `", $on, "`.")]
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct $name {
            /// The object that is called.
            pub this: MoRef,
            $(
                #[doc = concat!("`", $fw, "`")]
                pub $field: $kind,
            )*
        }

        impl $crate::wire::Method for $name {
            const NAME: &'static str = $wire;
            const ON: &'static str = $on;
            const SINCE: $crate::wire::ApiVersion = $crate::wire::ApiVersion::since($since);
            type Reply = $reply;

            fn to_element(&self, encode: $crate::wire::Encode) -> $crate::wire::Element {
                let mut element = $crate::wire::Element::new($wire);
                $crate::wire::Slot::write(&self.this, "_this", &mut element.children, encode);
                $(
                    if <$kind as $crate::wire::Slot>::REQUIRED
                        || encode.version >= $crate::wire::ApiVersion::since($fs)
                    {
                        $crate::wire::Slot::write(&self.$field, $fw, &mut element.children, encode);
                    }
                )*
                element
            }

            fn from_element(
                element: &$crate::wire::Element,
                decode: &mut $crate::wire::Decode,
            ) -> Result<Self, $crate::wire::DecodeError> {
                let mut fields = $crate::wire::Fields::new($wire, element);
                let read = |fields: &mut $crate::wire::Fields<'_>, decode: &mut $crate::wire::Decode| {
                    Ok(Self {
                        this: $crate::wire::Slot::take("_this", $crate::wire::ApiVersion::FIRST, fields, decode)?,
                        $($field: $crate::wire::Slot::take($fw, $crate::wire::ApiVersion::since($fs), fields, decode)?,)*
                    })
                };
                let call = read(&mut fields, decode).map_err(|error: $crate::wire::DecodeError| error.inside($wire))?;
                fields.finish(decode).map_err(|error| error.inside($wire))?;
                Ok(call)
            }
        }
    )*
    };
}

macro_rules! managed {
    ($($name:literal $base:literal { $($property:literal $since:literal $kind:literal,)* })*) => {
        /// All managed object types in use, sorted by name.
        pub(super) static MANAGED_TYPES: &[$crate::wire::ManagedInfo] = &[$(
            $crate::wire::ManagedInfo {
                name: $name,
                base: $base,
                properties: &[$(
                    $crate::wire::PropertyInfo {
                        name: $property,
                        since: $crate::wire::ApiVersion::since($since),
                        type_name: $kind,
                    },
                )*],
            },
        )*];
    };
}

pub(super) use {choices, data, managed, methods, poly};

use super::codec::{Decode, DecodeError};
use super::element::Element;
use super::version::ApiVersion;

/// Returns the first name, where there is one.
pub(super) const fn first(names: &[&'static str]) -> Option<&'static str> {
    match names {
        [] => None,
        [name, ..] => Some(name),
    }
}

/// Returns true for the empty text and for a version that can be compared.
pub(super) const fn is_known_version(text: &str) -> bool {
    text.is_empty() || ApiVersion::parse(text).is_some()
}

/// Returns whether no value is of the declared type itself, only of its subtypes.
pub(super) fn is_only_base(strictness: &str) -> bool {
    strictness == "base_only"
}

/// Accepts an element without `xsi:type`: the declared type stands for itself.
#[expect(clippy::unnecessary_wraps, reason = "the macro calls it and its sibling alike")]
pub(super) fn concrete(_element: &Element, _base: &str, _decode: &Decode) -> Result<(), DecodeError> {
    Ok(())
}

/// Refuses, when strict, an element without `xsi:type`: the declared type is only a base.
pub(super) fn base_only(element: &Element, base: &str, decode: &Decode) -> Result<(), DecodeError> {
    if decode.strict {
        return Err(DecodeError::at(&element.name, format!("needs `xsi:type`, because {base} is only a base type")));
    }
    Ok(())
}
