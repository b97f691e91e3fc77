//! The storefront: the pages on which people buy tickets. It owns nothing: what it shows is the catalog's, seating's and
//! ordering's, asked through their contracts, and a page says in a sentence what cannot be shown while one of them is down. It
//! must never know how any of them keeps its data, nor what is paid with.

mod assets;
mod domain;
mod pages;
mod service;

pub use service::{Shop, StorefrontModule};
