//! The `ringfence` binary.

fn main() {
    ringfence::run_main()
}
