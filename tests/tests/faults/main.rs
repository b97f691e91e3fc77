//! What goes wrong around the program: processes killed, disks full, databases locked or gone, peers that are slow or
//! silent, files that are damaged. Whatever was acknowledged stays, what cannot be done is said in a sentence, and what
//! comes back is used again without anybody's help.

mod alone;
mod locked;
mod peers;
mod starting;
