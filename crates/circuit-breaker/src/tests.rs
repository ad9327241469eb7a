//! Tests of plain values. They stand apart from them, since the model check includes those files.

mod call_window;
mod cells;
mod gate;
mod open_time;
mod recent;
mod time_window;
