//! The table of producers: what the kernel's map says from time to time, summed up and kept bounded.
