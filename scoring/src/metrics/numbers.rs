//! The constants of modules as text.

/// For each module its name and a line for each of its constants. Rust prints a float as the
/// shortest text that parses to the same bits, so the lines are the same everywhere.
macro_rules! numbers {
    ($($module:ident: $($name:ident),+;)+) => {
        vec![$((
            stringify!($module),
            [$(format!(
                concat!(stringify!($module), "::", stringify!($name), " {:?}\n"),
                $module::$name
            )),+]
            .concat(),
        )),+]
    };
}
pub(crate) use numbers;
