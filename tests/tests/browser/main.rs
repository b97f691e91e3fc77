//! What a person sees and does, in a headless Chromium: every page at desktop and phone width, in light and dark; what can be
//! done by clicking, by keys alone, and without script. `BANYAN_TEST_BROWSER` names a chromedriver; without it these
//! tests say that they are skipped.

mod console;
mod deeds;
mod pages;
mod shop;
mod traces;
mod trouble;
