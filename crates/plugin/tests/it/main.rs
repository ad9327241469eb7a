//! The host's side against programs that are not the plugins they should be.

mod after_the_line;
mod before_the_line;
mod dropped;
mod in_process;
mod shell;
mod stopping;
mod tls;
