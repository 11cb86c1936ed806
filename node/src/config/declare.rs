//! How settings are declared: name, accepted form, default, help and field in one place.

/// Declares the settings of one concern, and `SETTINGS`, the list of them.
///
/// ```text
/// /// help text
/// NAME = setting("what is accepted", Some("default"));
/// /// help text
/// NAME = secret("what is accepted");
/// ```
///
/// Inside `pub(crate) struct Concern { … }` each declaration continues with
/// `=> field: Type, method(…)`: the struct gets the field, and its `read` fills it with that method
/// of `Values`.
macro_rules! settings {
    (pub(crate) struct $config:ident { $(
        $(#[doc = $help:literal])+
        $name:ident = $kind:ident($($part:expr),*)
            => $field:ident: $type:ty, $method:ident($($argument:expr),*);
    )+ }) => {
        super::declare::settings! { $($(#[doc = $help])+ $name = $kind($($part),*);)+ }

        #[derive(Clone, Debug)]
        pub(crate) struct $config { $($(#[doc = $help])+ pub(crate) $field: $type,)+ }

        impl $config {
            pub(super) fn read(
                values: &super::values::Values,
            ) -> Result<Self, super::error::ConfigError> {
                Ok(Self { $($field: values.$method(&$name, $($argument),*)?,)+ })
            }
        }
    };
    ($($(#[doc = $help:literal])+ $name:ident = $kind:ident($($part:expr),*);)+) => {
        pub(super) const SETTINGS: &[super::setting::Setting] = &[$($name),+];
        $(pub(super) const $name: super::setting::Setting = super::setting::Setting {
            name: stringify!($name),
            // A doc comment begins with a space.
            help: concat!($($help),+).trim_ascii_start(),
            ..super::setting::$kind($($part),*)
        };)+
    };
}
pub(super) use settings;
