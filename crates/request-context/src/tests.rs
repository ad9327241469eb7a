//! Tests of what is not public in files that the model check pulls in.

mod in_flight;
