mod announcement;
mod environment;
mod health;
mod host_gone;
mod mutual_tls;
mod stopping;
