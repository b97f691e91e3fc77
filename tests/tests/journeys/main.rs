//! What a user does, from outside, with the real program: every promise of the command line and of the two addresses that
//! takes a running system to check.

mod calls;
mod canary;
mod cases;
mod commands;
mod compared;
mod console;
mod documents;
mod doors;
mod elsewhere;
mod giving_up;
mod known;
mod letters;
mod life;
mod python;
mod readme;
mod refusals;
mod requests;
mod service;
mod shop;
mod stages;
mod tour;
mod writes;
