//! The integration tests: the real binary on a real socket, with a real database and real child processes.

mod architecture;
mod support;
