//! What scenarios stand on, and no scenario itself: the detector as they run it, the guest, who else knows the truth.

pub mod checks;
pub mod contended;
pub mod detector;
pub mod exposure;
pub mod floods;
pub mod incident;
pub mod kernel;
pub mod overlay;
pub mod precondition;
pub mod producers;
pub mod sandbox;
pub mod scrape;
pub mod systemd;
pub mod tracefs;
pub mod truth;
pub mod worse;
