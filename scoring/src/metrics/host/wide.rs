//! Compiles a loop twice.

/// Compiles a function for any x86-64 processor and again for those with AVX2, and chooses at run
/// time.
///
/// Both give the same bits: without the FMA feature no compiler may fuse a product and a sum, and
/// float sums are never reordered, so only the number of lanes differs. Functions that the body
/// calls have to be inlined to be compiled twice.
macro_rules! wide {
    (
        $(#[$attribute:meta])*
        $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$attribute])*
        $visibility fn $name($($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) $(-> $result)? {
                    plain($($argument),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the one feature that the function asks for was just found.
                    return unsafe { avx2($($argument),*) };
                }
            }
            plain($($argument),*)
        }
    };
}
pub(crate) use wide;
