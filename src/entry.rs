//! Where the program begins: before the C start-up, and without it where somebody else's command only passes.
//!
//! Most calls of a runtime (state, start, kill, ps) are none of ours, and the dearest part of passing them on is the
//! start of the C library: it asks the processor what it can do by dozens of `cpuid`, and on a virtual machine each
//! is an exit to the hypervisor. So the kernel starts us here. If the words are known global flags and a command that
//! we never touch, if the configuration can be read, and if the runtime is where it says, then we become it at once.
//! Whatever else is found, nothing has happened yet, and the C start-up goes on as if we had never been: every
//! refusal, every message and every rule stands there and only there.
//!
//! Nothing here may need what the start-up sets up: no relocation (so no pointer in a constant), no thread-local
//! storage (so no errno and no allocation), no function of the C library, not even one that the compiler puts in (so
//! bytes are read as volatile: a loop over them can't become a call of strlen or memcpy).
//!
//! This is the one file of the program with `unsafe` in it.
#![allow(unsafe_code, reason = "the kernel's start-up protocol and system calls")]

use std::ffi::{c_char, c_int};

// SAFETY: the one symbol called `main`, with the signature that the C start-up expects; argv is not read through
// the pointer but by std, whose own initialiser keeps it.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    c_int::from(crate::run())
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x86_64 {
    #![allow(
        clippy::indexing_slicing,
        reason = "tables end with a NUL, and lists are longer than what is counted"
    )]
    #![allow(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "words of the kernel's interface; what is below zero has been looked at before"
    )]

    use std::arch::{asm, naked_asm};
    use std::mem::MaybeUninit;

    use runc_strict::argv::grammar::{Arity, Flag, GLOBALS, PASSED};
    use runc_strict::node::config::{PATH, RUNTIME, VARIABLE, runtime_word};
    use runc_strict::node::runtime::{DEPTH, SEARCH};

    unsafe extern "C" {
        /// The C start-up's own first instruction.
        fn _start() -> !;
    }

    /// The first instruction. The stack holds argc, argv, envp and the auxiliary vector (System V ABI, AMD64, 3.4.1);
    /// rdx holds what a dynamic linker wants called at the end. Both are handed on to `_start` as they came.
    // SAFETY: the stack pointer is a multiple of 16 here; two words are pushed, so it is one at the call too.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn runc_strict_entry() -> ! {
        naked_asm!(
            "mov rdi, rsp",
            "push rdx",
            "push rdx",
            "call {pass}",
            "pop rdx",
            "pop rdx",
            "jmp {start}",
            pass = sym pass,
            start = sym _start,
        )
    }

    /// The longest configuration that is read here; a longer one is left to the other reading.
    const CONFIGURATION: usize = 16 * 1024;

    // The file that packages bring, with as much again of somebody's own, is no reason to go the slow way.
    const _: () = assert!(2 * include_bytes!("../packaging/config/config.toml").len() < CONFIGURATION);

    /// The longest path of a runtime that is found by name.
    const PLACE: usize = 64;

    /// The longest environment that is passed on from here.
    const ENVIRONMENT: usize = 512;

    /// Bytes that end with a NUL, at most one of which is read behind what was seen.
    #[derive(Clone, Copy)]
    struct Text(*const u8);

    impl Text {
        fn at(self, n: usize) -> u8 {
            // SAFETY: callers go from byte to byte and stop at the NUL.
            unsafe { self.0.add(n).read_volatile() }
        }

        fn from(self, n: usize) -> Text {
            // SAFETY: as in `at`.
            Text(unsafe { self.0.add(n) })
        }

        /// The byte behind the name that stands at `from` in `table`, if the text begins with it.
        fn behind(self, table: &[u8], from: usize) -> Option<u8> {
            let mut n = 0;
            while table[from + n] != 0 {
                if self.at(n) != table[from + n] {
                    return None;
                }
                n += 1;
            }
            Some(self.at(n))
        }

        /// What follows the first name of `table` that the text begins with and that ends there: NUL or `=`.
        fn ends_after(self, table: &[u8]) -> Option<u8> {
            let mut from = 0;
            while from < table.len() {
                match self.behind(table, from) {
                    Some(end @ (0 | b'=')) => return Some(end),
                    _ => {
                        while table[from] != 0 {
                            from += 1;
                        }
                        from += 1;
                    }
                }
            }
            None
        }
    }

    /// Becomes the real runtime if that is all there is to do; else comes back and has changed nothing.
    ///
    /// # Safety
    /// `stack` points to what the kernel put there: argc, argv, a null, envp, a null.
    unsafe extern "C" fn pass(stack: *mut usize) {
        // SAFETY: the layout that the caller vouches for; there is always an argc.
        let count = unsafe { stack.read() };
        if count == 0 {
            return;
        }
        // SAFETY: as above: argv follows argc, and envp follows argv's null.
        let (argv, envp) = unsafe { (stack.add(1).cast::<Text>(), stack.add(count + 2).cast::<*const u8>()) };
        // SAFETY: argv has `count` entries.
        if !only_passes(count, |n| unsafe { argv.add(n).read() }) {
            return;
        }
        let mut environment = [const { MaybeUninit::<*const u8>::uninit() }; ENVIRONMENT + 2];
        let mut named = None;
        let mut n = 0;
        loop {
            // SAFETY: envp ends with a null, at which the loop ends.
            let entry = unsafe { envp.add(n).read_volatile() };
            if entry.is_null() {
                break;
            }
            let text = Text(entry);
            // Who has become a runtime before is counted by the other reading.
            if n == ENVIRONMENT || matches!(text.behind(&DEPTH_NAME, 0), Some(b'=')) {
                return;
            }
            let is_named = matches!(text.behind(&VARIABLE_NAME, 0), Some(b'='));
            if is_named && named.is_none() && text.at(VARIABLE.len() + 1) != 0 {
                named = Some(text.from(VARIABLE.len() + 1));
            }
            put(&mut environment, n, entry);
            n += 1;
        }
        put(&mut environment, n, FIRST_DEPTH.as_ptr());
        put(&mut environment, n + 1, std::ptr::null());

        let mut opened = None;
        let mut configuration = [const { MaybeUninit::<u8>::uninit() }; CONFIGURATION];
        let mut place = [const { MaybeUninit::<u8>::uninit() }; PLACE];
        if let Some(word) = configured(named, &mut configuration, &mut opened)
            && let Some(runtime) = located(word, &mut place)
        {
            // SAFETY: argv[0] is ours to write to; the runtime's path is what it has to be (crun reads a handler
            // there). All texts end with a NUL and both lists with a null. If it comes back, argv[0] becomes what it was.
            unsafe {
                let own = argv.read();
                argv.write(runtime);
                let environment = environment.as_ptr().addr();
                system_call(libc::SYS_execve, [runtime.0.addr(), argv.addr(), environment, 0]);
                argv.write(own);
            }
        }
        if let Some(file) = opened {
            // SAFETY: the file is ours, and nobody reads it any more.
            unsafe { system_call(libc::SYS_close, [file, 0, 0, 0]) };
        }
    }

    /// Writes one element; as volatile, so that no loop of them becomes a memcpy.
    fn put<T>(list: &mut [MaybeUninit<T>], n: usize, value: T) {
        // SAFETY: the slot is there, and ours.
        unsafe { (&raw mut list[n]).cast::<T>().write_volatile(value) };
    }

    /// Whether the words are global flags that the table knows, and then a command that only passes.
    fn only_passes(count: usize, word: impl Fn(usize) -> Text) -> bool {
        let mut n = 1;
        while n < count {
            let text = word(n);
            if text.at(0) != b'-' {
                return matches!(text.ends_after(&COMMANDS), Some(0));
            }
            let name = text.from(if text.at(1) == b'-' { 2 } else { 1 });
            n += match (name.ends_after(&SWITCHES), name.ends_after(&VALUES)) {
                (Some(0), _) | (None, Some(b'=')) => 1,
                (None, Some(_)) => 2,
                _ => return false,
            };
        }
        false
    }

    /// The word that the configuration has for the runtime, with a NUL behind it; none where it takes more to tell.
    ///
    /// The file stays open, because execve(2) closes it: `opened` is its descriptor.
    fn configured(
        named: Option<Text>,
        space: &mut [MaybeUninit<u8>; CONFIGURATION],
        opened: &mut Option<usize>,
    ) -> Option<Text> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        let path = named.unwrap_or(Text(DEFAULT_PATH.as_ptr()));
        let cwd = libc::AT_FDCWD as isize as usize;
        // SAFETY: the path ends with a NUL.
        let file = unsafe { system_call(libc::SYS_openat, [cwd, path.0.addr(), flags as usize, 0]) };
        if file == -(libc::ENOENT as isize) && named.is_none() {
            return Some(Text(DEFAULT_RUNTIME.as_ptr()));
        }
        if file < 0 {
            return None;
        }
        let file = file as usize;
        *opened = Some(file);
        let found = stat(libc::SYS_fstat, [file, 0, 0, 0], 1)?;
        // Reading would take from a FIFO what is somebody else's.
        if found.st_mode & libc::S_IFMT != libc::S_IFREG {
            return None;
        }
        // SAFETY: the space is ours, and one byte less than it is read.
        let length =
            unsafe { system_call(libc::SYS_read, [file, space.as_mut_ptr().addr(), CONFIGURATION - 1, 0]) };
        if length < 0 {
            return None;
        }
        let length = length as usize;
        if found.st_size != length as i64 {
            return None;
        }
        let text = Text(space.as_ptr().cast());
        let mut n = 0;
        while n < length {
            // What isn't ASCII may not be UTF-8 either: that is looked at later.
            if !text.at(n).is_ascii() {
                return None;
            }
            n += 1;
        }
        let Some((start, end)) = runtime_word(length, |n| text.at(n)) else {
            return Some(Text(DEFAULT_RUNTIME.as_ptr()));
        };
        // The quote behind the word becomes the NUL.
        put(space, end, 0);
        Some(text.from(start))
    }

    /// The path of the program that `word` names, as [`runc_strict::node::runtime::locate`] finds it;
    /// none where it takes more to tell.
    fn located(word: Text, space: &mut [MaybeUninit<u8>; PLACE]) -> Option<Text> {
        let ourselves = look(Text(OURSELVES.as_ptr()))?;
        let usable = |path: Text| {
            let Some(found) = look(path) else { return false };
            let is_us = found.st_dev == ourselves.st_dev && found.st_ino == ourselves.st_ino;
            found.st_mode & libc::S_IFMT == libc::S_IFREG && found.st_mode & 0o111 != 0 && !is_us
        };
        if word.at(0) == b'/' {
            return if usable(word) { Some(word) } else { None };
        }
        let mut length = 0;
        while word.at(length) != 0 {
            if word.at(length) == b'/' {
                return None;
            }
            length += 1;
        }
        if length == 0 {
            return None;
        }
        let path = Text(space.as_ptr().cast());
        let mut folder = 0;
        while folder < FOLDERS.len() {
            let mut n = 0;
            while FOLDERS[folder] != 0 {
                put(space, n, FOLDERS[folder]);
                n += 1;
                folder += 1;
            }
            folder += 1;
            if n + 1 + length + 1 > PLACE {
                return None;
            }
            put(space, n, b'/');
            let mut letter = 0;
            while letter <= length {
                put(space, n + 1 + letter, word.at(letter));
                letter += 1;
            }
            if usable(path) {
                return Some(path);
            }
        }
        None
    }

    /// stat(2).
    fn look(path: Text) -> Option<libc::stat> {
        stat(libc::SYS_newfstatat, [libc::AT_FDCWD as isize as usize, path.0.addr(), 0, 0], 2)
    }

    /// A system call that fills in what is found on a file, the address of which is its word `n`.
    fn stat(number: libc::c_long, mut words: [usize; 4], n: usize) -> Option<libc::stat> {
        let mut found = MaybeUninit::<libc::stat>::uninit();
        *words.get_mut(n)? = found.as_mut_ptr().addr();
        // SAFETY: paths end with a NUL, descriptors are ours, and the kernel writes a whole stat if it returns 0.
        unsafe { (system_call(number, words) == 0).then(|| found.assume_init()) }
    }

    /// A system call (syscall(2)); its result, below zero for an error.
    ///
    /// # Safety
    /// As the call's.
    unsafe fn system_call(number: libc::c_long, words: [usize; 4]) -> isize {
        let [first, second, third, fourth] = words;
        let result: isize;
        // SAFETY: the kernel's convention: rcx and r11 are lost. Memory may be read and written.
        unsafe {
            asm!(
                "syscall",
                inlateout("rax") number as isize => result,
                in("rdi") first,
                in("rsi") second,
                in("rdx") third,
                in("r10") fourth,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }

    // The library's tables, laid out when the program is compiled: names that each end with a NUL, without pointers.

    const OURSELVES: &[u8] = b"/proc/self/exe\0";
    static DEFAULT_PATH: [u8; PATH.len() + 1] = joined(&[PATH, "\0"]);
    static DEFAULT_RUNTIME: [u8; RUNTIME.len() + 1] = joined(&[RUNTIME, "\0"]);
    static VARIABLE_NAME: [u8; VARIABLE.len() + 1] = joined(&[VARIABLE, "\0"]);
    static DEPTH_NAME: [u8; DEPTH.len() + 1] = joined(&[DEPTH, "\0"]);
    static FIRST_DEPTH: [u8; DEPTH.len() + 3] = joined(&[DEPTH, "=1\0"]);
    static FOLDERS: [u8; length(&SEARCH)] = listed(&SEARCH);
    static COMMANDS: [u8; length(PASSED)] = listed(PASSED);
    static VALUES: [u8; flags_length(Arity::Value)] = flags(Arity::Value);
    static SWITCHES: [u8; flags_length(Arity::Switch)] = flags(Arity::Switch);

    /// The texts one after the other.
    const fn joined<const N: usize>(texts: &[&str]) -> [u8; N] {
        let mut all = [0; N];
        let (mut at, mut n) = (0, 0);
        while n < texts.len() {
            at = append(&mut all, at, texts[n]);
            n += 1;
        }
        all
    }

    /// The texts, each with a NUL behind it.
    const fn listed<const N: usize>(texts: &[&str]) -> [u8; N] {
        let mut all = [0; N];
        let (mut at, mut n) = (0, 0);
        while n < texts.len() {
            at = append(&mut all, at, texts[n]) + 1;
            n += 1;
        }
        all
    }

    const fn length(texts: &[&str]) -> usize {
        let (mut sum, mut n) = (0, 0);
        while n < texts.len() {
            sum += texts[n].len() + 1;
            n += 1;
        }
        sum
    }

    /// The long and short names of the global flags that take `arity`, but for those that ask for a text: they are
    /// answered, or passed, by the other reading.
    const fn flags<const N: usize>(arity: Arity) -> [u8; N] {
        let mut all = [0; N];
        let (mut at, mut n) = (0, 0);
        while n < GLOBALS.len() {
            if is_wanted(&GLOBALS[n], arity) {
                at = append(&mut all, at, GLOBALS[n].long) + 1;
                if let Some(short) = GLOBALS[n].short {
                    at = append(&mut all, at, short) + 1;
                }
            }
            n += 1;
        }
        all
    }

    const fn flags_length(arity: Arity) -> usize {
        let (mut sum, mut n) = (0, 0);
        while n < GLOBALS.len() {
            if is_wanted(&GLOBALS[n], arity) {
                sum += GLOBALS[n].long.len() + 1;
                if let Some(short) = GLOBALS[n].short {
                    sum += short.len() + 1;
                }
            }
            n += 1;
        }
        sum
    }

    const fn is_wanted(flag: &Flag, arity: Arity) -> bool {
        let asks = matches!(flag.short, Some(short) if matches!(short.as_bytes(), b"h" | b"v"));
        !asks && flag.arity as u8 == arity as u8
    }

    const fn append(all: &mut [u8], at: usize, text: &str) -> usize {
        let mut n = 0;
        while n < text.len() {
            all[at + n] = text.as_bytes()[n];
            n += 1;
        }
        at + n
    }
}
