//! The words that stores and interfaces write for enums.

/// Gives an enum the words it is written as, and reads them back. One of a newer version is
/// an error: nothing is guessed.
macro_rules! words {
    ($name:ident { $($value:ident => $word:literal),* $(,)? }) => {
        impl $name {
            /// The word it is stored as.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)*
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok(Self::$value),)*
                    _ => Err($crate::UnknownWord::new(stringify!($name), word)),
                }
            }
        }
    };
}
pub(crate) use words;

/// A stored word that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    of: &'static str,
    word: Box<str>,
}

impl UnknownWord {
    pub(crate) fn new(of: &'static str, word: &str) -> Self {
        Self { of, word: word.into() }
    }
}

impl std::fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is no {} that this version knows", self.word, self.of)
    }
}

impl std::error::Error for UnknownWord {}
