//! What requests bring, what those below them read, and what is passed on.

mod ids;
