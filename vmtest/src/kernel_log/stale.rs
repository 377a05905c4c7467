//! An instruction that the emulator ran though memory no longer held it.

use fslockup::escape::escape_rest;

use super::strip_time;

/// How an x86 kernel's report of a breakpoint begins that none of its handlers knows (`exc_int3` in
/// `arch/x86/kernel/traps.c`); newer kernels put "Oops: " before it.
const BREAKPOINT: [&[u8]; 2] = [b"Oops: int3: ", b"int3: "];
/// The instruction.
const INT3: &str = "cc";

/// Where the first report is of a breakpoint that does not stand in memory: the place, as the kernel names it.
///
/// The kernel patches running code by way of a breakpoint, which it removes before it forgets about it. An emulator
/// with a thread for each vCPU that translated the old bytes while another vCPU wrote the new ones runs the breakpoint
/// for as long as it keeps the translation. The report's `Code:` line has the bytes as they are in memory, and the one
/// before `<` is where the breakpoint would be: a trap's address is that of the next instruction.
#[must_use]
pub fn stale_breakpoint(console: &[u8]) -> Option<String> {
    let lines = console.split(|byte| *byte == b'\n').map(strip_time);
    let mut report = lines.skip_while(|line| super::classify(line).is_none());
    let head = report.next()?;
    if !BREAKPOINT.iter().any(|start| head.starts_with(start)) {
        return None;
    }
    let mut place = None;
    // A report's registers come in its first lines; a later `RIP:` is that of what was interrupted.
    for line in report.take(10) {
        if let Some(rip) = line.strip_prefix(b"RIP: ") {
            place = Some(escape_rest(rip));
        }
        if let Some(code) = line.strip_prefix(b"Code: ") {
            let code = std::str::from_utf8(code).ok()?;
            let (before, _) = code.split_once('<')?;
            let last = before.split_ascii_whitespace().next_back()?;
            let is_byte = last.len() == 2 && last.bytes().all(|byte| byte.is_ascii_hexdigit());
            return (is_byte && last != INT3).then_some(place?);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian's 7.2.12 under QEMU 7.2.22 with nine others, at boot; shortened.
    const SEEN: &str = "\
        [    3.067229] Oops: int3: 0000 [#1] SMP NOPTI\r\n\
        [    3.069149] CPU: 3 UID: 0 PID: 29 Comm: kworker/u16:1 Not tainted 7.2.12+deb13-cloud-amd64 #1 PREEMPT(lazy)\r\n\
        [    3.069795] Workqueue: async async_run_entry_fn\r\n\
        [    3.078707] RIP: 0010:sched_clock_cpu+0x9/0x1f0\r\n\
        [    3.079086] Code: 90 90 90 f3 0f 1e fa 41 54 55 53 66 <90> e8 81 1c ee ff 48 03 05 5a\r\n\
        [    3.079292] RSP: 0018:ff7209f680170ec0 EFLAGS: 00000002\r\n\
        [    3.094640] RIP: 0010:clear_highpages_kasan_tagged+0x23/0x30\r\n\
        [    3.094773] Code: 90 90 90 90 90 cc <f3> aa 0f 1f 44 00 00 c3\r\n\
        [    3.1] Kernel panic - not syncing: Fatal exception in interrupt\r\n";

    #[test]
    fn a_breakpoint_that_is_not_in_memory_is_the_emulators() {
        let place = stale_breakpoint(SEEN.as_bytes());
        assert_eq!(place.as_deref(), Some("0010:sched_clock_cpu+0x9/0x1f0"));
        let older = SEEN.replace("Oops: int3", "int3");
        assert!(stale_breakpoint(older.as_bytes()).is_some());
    }

    #[test]
    fn one_that_is_in_memory_is_the_kernels() {
        let real = SEEN.replace("53 66 <90>", "53 cc <90>");
        assert_eq!(stale_breakpoint(real.as_bytes()), None);
    }

    #[test]
    fn no_other_report_is_excused_and_none_that_came_before() {
        let other = SEEN.replace("Oops: int3: 0000", "Oops: invalid opcode: 0000");
        assert_eq!(stale_breakpoint(other.as_bytes()), None);
        let second = format!("[ 2.0] BUG: unable to handle page fault for address: 0\n{SEEN}");
        assert_eq!(stale_breakpoint(second.as_bytes()), None);
    }

    #[test]
    fn a_report_that_is_cut_or_forged_excuses_nothing() {
        for cut in [
            SEEN.replace("<90>", "90"),
            SEEN.replace("53 66 <90>", "53 6 <90>"),
            SEEN.replace("53 66 <90>", "53 zz <90>"),
            SEEN.replace("Code: 90 90 90 f3 0f 1e fa 41 54 55 53 66 <", "Code: <"),
            SEEN.replace("RIP: 0010:sched", "RIX: 0010:sched"),
            SEEN[..SEEN.find("Code:").expect("there")].to_owned(),
            String::new(),
        ] {
            assert_eq!(stale_breakpoint(cut.as_bytes()), None, "{cut}");
        }
    }
}
