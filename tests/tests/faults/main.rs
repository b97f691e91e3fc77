//! What goes wrong around the program: processes killed, disks full, databases locked or gone, peers that are slow or
//! silent, files that are damaged. Whatever was acknowledged stays, what cannot be done is said in a sentence, and what
//! comes back is used again without anybody's help.

#![expect(clippy::print_stdout, reason = "tests say what they did and what they skipped")]

mod alone;
mod limited;
mod locked;
mod peers;
mod starting;
mod toggles;
