//! All of the program's `unsafe`: the kernel's start-up protocol, a few system calls, the start of our own, the memory that
//! it runs on, and the functions that copy and compare memory. What is decided with it stands in the files beside it.
#![allow(unsafe_code, reason = "the kernel's start-up protocol, system calls, an allocator")]

use std::ffi::{c_char, c_int};

// SAFETY: the one symbol called `main`, with the signature that the C start-up expects; argv is not read through
// the pointer but by std, whose own initialiser keeps it.
#[unsafe(no_mangle)]
extern "C" fn main(_argc: c_int, _argv: *const *const c_char) -> c_int {
    // Each thread gets a heap of its own, which else grows by one page and one system call at a time (glibc's malloc/arena.c,
    // `grow_heap`): it begins with 16 MiB, which are the kernel's until they are used.
    #[cfg(target_env = "gnu")]
    // SAFETY: one thread, and no other call of the allocator.
    unsafe {
        libc::mallopt(libc::M_TOP_PAD, 16 << 20);
    }
    c_int::from(crate::run(std::env::args_os().skip(1).collect()))
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) use x86_64::{Stack, Text, become_it, open, put, read};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x86_64 {
    #![allow(
        clippy::cast_sign_loss,
        clippy::cast_possible_truncation,
        reason = "words of the kernel's interface; what is below zero has been looked at before"
    )]

    use std::arch::{asm, naked_asm};
    use std::cell::UnsafeCell;
    use std::mem::MaybeUninit;
    use std::ptr;

    use super::super::pass::{Road, Room, pass, road};

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
            "call {begin}",
            "pop rdx",
            "pop rdx",
            "jmp {start}",
            begin = sym begin,
            start = sym _start,
        )
    }

    /// What the short way writes to.
    struct Shared(UnsafeCell<Room>);

    // SAFETY: it belongs to the one thread.
    unsafe impl Sync for Shared {}

    static ROOM: Shared = Shared(UnsafeCell::new(Room::EMPTY));

    /// Goes one of the three ways; comes back for the C start-up.
    #[inline(never)]
    unsafe extern "C" fn begin(stack: *mut usize) {
        // SAFETY: it is what the kernel put there; a program that is called without any word is left alone.
        let Some(stack) = (unsafe { Stack::new(stack) }) else { return };
        match road(&stack) {
            // SAFETY: nobody else has it: there is one thread, and it comes by here once.
            Road::Passes => pass(&stack, unsafe { &mut *ROOM.0.get() }),
            #[cfg(target_feature = "crt-static")]
            Road::Starts => super::own::start(&stack),
            _ => {}
        }
    }

    /// Bytes that end with a NUL, at most one of which is read behind what was seen.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Text(pub(super) *const u8);

    impl Text {
        /// The end of a list.
        pub(in super::super) const NULL: Text = Text(ptr::null());

        /// A table, or a list of them.
        pub(in super::super) fn of(table: &'static [u8]) -> Text {
            Text(table.as_ptr())
        }

        /// What was put into `space`.
        pub(in super::super) fn of_filled(space: &[MaybeUninit<u8>]) -> Text {
            Text(space.as_ptr().cast())
        }

        pub(in super::super) fn at(self, n: usize) -> u8 {
            // SAFETY: callers go from byte to byte and stop at the NUL, or at what they have filled.
            unsafe { self.0.add(n).read_volatile() }
        }

        pub(in super::super) fn from(self, n: usize) -> Text {
            // SAFETY: as in `at`.
            Text(unsafe { self.0.add(n) })
        }

        /// The byte behind the name that stands at `from` in `table`, if the text begins with it.
        pub(in super::super) fn behind(self, table: &[u8], from: usize) -> Option<u8> {
            let mut n = 0;
            while table.get(from + n).is_some_and(|byte| *byte != 0) {
                if table.get(from + n) != Some(&self.at(n)) {
                    return None;
                }
                n += 1;
            }
            Some(self.at(n))
        }

        /// What follows the first name of `table` that the text begins with and that ends there: NUL or `=`.
        pub(in super::super) fn ends_after(self, table: &[u8]) -> Option<u8> {
            let mut from = 0;
            while from < table.len() {
                match self.behind(table, from) {
                    Some(end @ (0 | b'=')) => return Some(end),
                    _ => {
                        while table.get(from).is_some_and(|byte| *byte != 0) {
                            from += 1;
                        }
                        from += 1;
                    }
                }
            }
            None
        }
    }

    /// What the kernel put on the stack: argc, argv, a null, envp, a null, the auxiliary vector.
    pub(in super::super) struct Stack {
        argv: *mut Text,
        count: usize,
    }

    impl Stack {
        /// None where there is no argv\[0\].
        ///
        /// # Safety
        /// `stack` points to argc, and what is behind it is as the ABI says.
        unsafe fn new(stack: *mut usize) -> Option<Stack> {
            // SAFETY: the caller vouches for the layout; there is always an argc, and argv is behind it.
            let (count, argv) = unsafe { (stack.read(), stack.add(1).cast()) };
            (count > 0).then_some(Stack { argv, count })
        }

        /// argc.
        pub(in super::super) fn count(&self) -> usize {
            self.count
        }

        /// argv\[n\]; callers stay below the count.
        pub(in super::super) fn word(&self, n: usize) -> Text {
            // SAFETY: argv has `count` entries.
            unsafe { self.argv.add(n).read_volatile() }
        }

        /// Entry `n` of the environment; callers stop at the first that is none.
        pub(in super::super) fn variable(&self, n: usize) -> Option<Text> {
            // SAFETY: envp follows argv's null, and ends with a null, at which callers stop.
            let text = unsafe { self.environment().add(n).read_volatile() };
            (!text.0.is_null()).then_some(text)
        }

        pub(super) fn environment(&self) -> *mut Text {
            // SAFETY: the stack holds more than argv and its null.
            unsafe { self.argv.add(self.count + 1) }
        }
    }

    /// Writes one element; as volatile, so that no loop of them becomes a memcpy.
    pub(in super::super) fn put<T>(list: &mut [MaybeUninit<T>], n: usize, value: T) {
        if let Some(slot) = list.get_mut(n) {
            // SAFETY: the slot is there, and ours.
            unsafe { (&raw mut *slot).cast::<T>().write_volatile(value) };
        }
    }

    /// A file that is open; execve(2) or the end of the value closes it.
    pub(in super::super) struct Opened(usize);

    impl Drop for Opened {
        fn drop(&mut self) {
            // SAFETY: the descriptor is ours.
            unsafe { system_call(libc::SYS_close, [self.0, 0, 0, 0, 0, 0]) };
        }
    }

    /// open(2) for reading, without waiting for anybody; else the error's number.
    pub(in super::super) fn open(path: Text) -> Result<Opened, i32> {
        let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        let cwd = libc::AT_FDCWD as isize as usize;
        // SAFETY: the path ends with a NUL.
        let file = unsafe {
            system_call(libc::SYS_openat, [cwd, path.0.expose_provenance(), flags as usize, 0, 0, 0])
        };
        if file < 0 { Err(-file as i32) } else { Ok(Opened(file as usize)) }
    }

    /// Reads a regular file whole if it is shorter than `space`: its length.
    pub(in super::super) fn read(file: &Opened, space: &mut [MaybeUninit<u8>]) -> Option<usize> {
        let mut found = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the kernel writes a whole stat if it returns 0.
        let found = unsafe {
            let failed =
                system_call(libc::SYS_fstat, [file.0, found.as_mut_ptr().expose_provenance(), 0, 0, 0, 0]);
            (failed == 0).then(|| found.assume_init())?
        };
        // Reading would take from a FIFO what is somebody else's.
        if found.st_mode & libc::S_IFMT != libc::S_IFREG {
            return None;
        }
        let most = space.len().checked_sub(1)?;
        // SAFETY: the space is ours, and one byte less than it is read.
        let length = unsafe {
            system_call(libc::SYS_read, [file.0, space.as_mut_ptr().expose_provenance(), most, 0, 0, 0])
        };
        (found.st_size == length as i64 && length >= 0).then_some(length as usize)
    }

    /// execve(2), with the program's own path as argv\[0\] (crun reads a handler from there). If it comes back,
    /// argv\[0\] is what it was; says whether there was no such file.
    // Not in line: what is counted until here (integration/counts) ends at its name.
    #[inline(never)]
    pub(in super::super) fn become_it(
        stack: &Stack,
        program: Text,
        environment: &[MaybeUninit<Text>],
    ) -> bool {
        // SAFETY: argv[0] is ours to write to; all texts end with a NUL and both lists with a null.
        unsafe {
            let own = stack.argv.read();
            stack.argv.write(program);
            let words = [
                program.0.expose_provenance(),
                stack.argv.expose_provenance(),
                environment.as_ptr().expose_provenance(),
                0,
                0,
                0,
            ];
            let failed = system_call(libc::SYS_execve, words);
            stack.argv.write(own);
            failed == -(libc::ENOENT as isize)
        }
    }

    /// A system call (syscall(2)); its result, below zero for an error. What a word points to has to be exposed: the kernel
    /// reads and writes there.
    ///
    /// # Safety
    /// As the call's.
    pub(super) unsafe fn system_call(number: libc::c_long, words: [usize; 6]) -> isize {
        let [first, second, third, fourth, fifth, sixth] = words;
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
                in("r8") fifth,
                in("r9") sixth,
                lateout("rcx") _,
                lateout("r11") _,
                options(nostack),
            );
        }
        result
    }
}

/// A start of our own, which takes the static program in its place.
#[cfg(all(target_arch = "x86_64", target_os = "linux", target_feature = "crt-static"))]
mod own {
    #![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as above")]

    use std::alloc::{GlobalAlloc, Layout, System};
    use std::arch::{asm, naked_asm};
    use std::cell::Cell;
    use std::ffi::{CStr, OsString, c_char};
    use std::os::unix::ffi::OsStringExt;
    use std::ptr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::x86_64::{Stack, system_call};

    unsafe extern "C" {
        /// environ(7), which the C start-up fills in and std reads.
        static mut environ: *const *const c_char;
    }

    /// Starts the program with what std needs and no more, and ends it. Comes back where that can't be done.
    pub(super) fn start(stack: &Stack) {
        // SAFETY: nothing else has run, and nothing else runs: there is one thread. What the kernel says of the program is
        // true, and `start_above` is called with what it needs.
        unsafe {
            let Some(segment) = thread_segment(stack) else { return };
            // Whoever has so small a stack that a piece may have no room on it is served by the C start-up.
            if stack_limit().is_none_or(|most| most < STACK) {
                return;
            }
            // A page's beginning, so that the frames below it take no page in part. Above it, a page is more than what a call
            // puts below this frame.
            let piece = (stack_pointer() - PIECE - PAGE) & !(PAGE - 1);
            // What is used first: the frames, and the beginning of the piece.
            populate(piece - DEPTH, DEPTH + STEP);
            make_room(stack, &segment, ptr::with_exposed_provenance_mut(piece));
        }
    }

    /// Where the frame of the function that this is a part of ends.
    #[inline(always)]
    fn stack_pointer() -> usize {
        let pointer;
        // SAFETY: it reads a register.
        unsafe { asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
        pointer
    }

    /// RLIMIT_STACK.
    fn stack_limit() -> Option<u64> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let words = [0, libc::RLIMIT_STACK as usize, 0, (&raw mut limit).expose_provenance(), 0, 0];
        // SAFETY: the kernel writes a whole rlimit if it returns 0.
        let answer = unsafe { system_call(libc::SYS_prlimit64, words) };
        (answer == 0).then_some(limit.rlim_cur)
    }

    /// Calls `start_above` with the arena's first piece on the stack, between this frame and that one: its pages are there for
    /// less than those of a mapping, for which the kernel makes books of their own. It isn't a frame's variable, since each
    /// page of such is touched.
    // SAFETY: the ABI's registers; the stack pointer is a multiple of 16 at the call, as a page's beginning is, and what it was
    // at the end.
    #[unsafe(naked)]
    unsafe extern "C" fn make_room(stack: &Stack, segment: &libc::Elf64_Phdr, piece: *mut u8) {
        naked_asm!(
            "push rbp",
            "mov rbp, rsp",
            "mov rsp, rdx",
            "call {start_above}",
            "mov rsp, rbp",
            "pop rbp",
            "ret",
            start_above = sym start_above,
        )
    }

    /// # Safety
    /// Nothing else has run, and nothing else runs: there is one thread. `piece` has PIECE bytes, which lie above this frame and
    /// below all others, and the first STEP of which are there; the rest is the kernel's.
    unsafe extern "C" fn start_above(stack: &Stack, segment: &libc::Elf64_Phdr, piece: *mut u8) {
        // SAFETY: each step says what it needs.
        unsafe {
            let piece = piece.expose_provenance();
            // This frame is left only where nothing has begun, so it is where the thread's storage lies.
            let mut area = Area([0; AREA]);
            if !set_thread_area(segment, &mut area) {
                return;
            }
            choose_functions();
            environ = stack.environment().cast_const().cast();
            ARENA.owner.store(thread_pointer(), Ordering::Relaxed);
            ARENA.begin(piece, piece + STEP, piece + PIECE);
            let words =
                (1..stack.count()).map(|n| CStr::from_ptr(stack.word(n).0.cast()).to_bytes().to_vec());
            let code = crate::run(words.map(OsString::from_vec).collect());
            system_call(libc::SYS_exit_group, [usize::from(code), 0, 0, 0, 0, 0]);
        }
    }

    /// The segment of thread-local storage (PT_TLS). None where we are not at the place that we were linked for, or where
    /// somebody else has begun: a dynamic linker, or a program that raised our privileges.
    ///
    /// # Safety
    /// `stack` is the kernel's.
    unsafe fn thread_segment(stack: &Stack) -> Option<libc::Elf64_Phdr> {
        let mut n = 0;
        while stack.variable(n).is_some() {
            n += 1;
        }
        let (mut headers, mut count) = (ptr::null::<libc::Elf64_Phdr>(), 0);
        // SAFETY: the auxiliary vector follows envp's null: pairs of words, the last of which begins with AT_NULL.
        unsafe {
            let mut pair = stack.environment().add(n + 1).cast::<[usize; 2]>();
            loop {
                let [what, value] = pair.read();
                match what as u64 {
                    libc::AT_NULL => break,
                    libc::AT_PHDR => headers = ptr::with_exposed_provenance(value),
                    libc::AT_PHNUM => count = value,
                    libc::AT_BASE | libc::AT_SECURE if value != 0 => return None,
                    _ => {}
                }
                pair = pair.add(1);
            }
        }
        let mut segment = None;
        let mut in_place = false;
        for n in 0..count {
            // SAFETY: the kernel says that there are so many.
            let header = unsafe { headers.add(n).read() };
            match header.p_type {
                libc::PT_PHDR => in_place = header.p_vaddr == headers.addr() as u64,
                libc::PT_TLS => segment = Some(header),
                _ => {}
            }
        }
        segment.filter(|_| in_place)
    }

    /// The thread's own storage, and behind it what the C library keeps of a thread (ELF Handling For Thread-Local Storage,
    /// variant II); zero but for the few words that are set.
    #[repr(C, align(64))]
    struct Area([u8; AREA]);

    /// Its size; what the C library keeps takes 2304 bytes (glibc 2.36, `struct pthread`); the rest is for what later versions add.
    const AREA: usize = 4608;

    /// Where the thread pointer points to in it: there is room for as much storage before it.
    const POINTER: usize = 1536;

    /// Lays out the thread's storage; false if it is larger than we have room for.
    ///
    /// # Safety
    /// `segment` is ours, there is no thread pointer yet, and `area` is there as long as the thread.
    unsafe fn set_thread_area(segment: &libc::Elf64_Phdr, area: &mut Area) -> bool {
        const ARCH_SET_FS: usize = 0x1002;
        let (size, align) = (segment.p_memsz as usize, (segment.p_align as usize).max(1));
        if !align.is_power_of_two() || POINTER % align != 0 || size.next_multiple_of(align) > POINTER {
            return false;
        }
        // SAFETY: the segment's first bytes are in the program, and the area is larger than where anything is put. The
        // C library keeps its thread's address in the first and the third word, and begins the rest with zeros.
        unsafe {
            let pointer = area.0.as_mut_ptr().add(POINTER);
            let image: *const u8 = ptr::with_exposed_provenance(segment.p_vaddr as usize);
            let storage = pointer.sub(size.next_multiple_of(align));
            storage.copy_from_nonoverlapping(image, segment.p_filesz as usize);
            let words = pointer.cast::<usize>();
            words.write(words.expose_provenance());
            words.add(2).write(words.expose_provenance());
            system_call(libc::SYS_arch_prctl, [ARCH_SET_FS, pointer.expose_provenance(), 0, 0, 0, 0]) == 0
        }
    }

    /// Lets every function of which the C library has several copies choose one (STT_GNU_IFUNC), as the C start-up does. As
    /// nobody has asked the processor, they choose the plain one.
    ///
    /// # Safety
    /// The program is static and in its place, and there is a thread pointer.
    unsafe fn choose_functions() {
        #[repr(C)]
        struct Relocation {
            place: usize,
            kind: u64,
            resolver: usize,
        }
        const R_X86_64_IRELATIVE: u64 = 37;
        let (mut at, end): (usize, usize);
        // SAFETY: reads two addresses that the linker gives; both are 0 where it has no such table.
        unsafe {
            asm!(
                ".weak __rela_iplt_start",
                ".hidden __rela_iplt_start",
                ".weak __rela_iplt_end",
                ".hidden __rela_iplt_end",
                "mov {}, qword ptr [rip + __rela_iplt_start@GOTPCREL]",
                "mov {}, qword ptr [rip + __rela_iplt_end@GOTPCREL]",
                out(reg) at,
                out(reg) end,
                options(nostack, readonly, preserves_flags),
            );
        }
        while at < end {
            // SAFETY: the linker's table: where an address is to be written, and the function that tells it.
            unsafe {
                let entry = ptr::with_exposed_provenance::<Relocation>(at).read();
                if entry.kind == R_X86_64_IRELATIVE {
                    let resolver: extern "C" fn() -> usize =
                        std::mem::transmute(ptr::with_exposed_provenance::<()>(entry.resolver));
                    ptr::with_exposed_provenance_mut::<usize>(entry.place).write(resolver());
                }
            }
            at += size_of::<Relocation>();
        }
    }

    /// The memory of a start of our own: a piece is used up from its beginning, and only what was given out last can be
    /// given back, for the program is a runtime before it would matter. Large blocks are the kernel's. Everywhere else it
    /// is the C library's.
    struct Arena {
        /// The pointer of the thread that it belongs to (`thread_pointer`); 0 where there was no start of our own.
        owner: AtomicUsize,
        next: Cell<usize>,
        /// Where the part of the piece ends whose pages are there.
        there: Cell<usize>,
        end: Cell<usize>,
    }

    // SAFETY: `next`, `there` and `end` are touched by the owner alone.
    unsafe impl Sync for Arena {}

    // Beside what is written to anyhow: a page of its own would be one more to be made.
    #[global_allocator]
    #[unsafe(link_section = ".data.path")]
    static ARENA: Arena =
        Arena { owner: AtomicUsize::new(0), next: Cell::new(0), there: Cell::new(0), end: Cell::new(0) };

    /// Bytes of a piece. The first lies on the stack, where the kernel has 128 KB at once (fs/exec.c, setup_arg_pages).
    const PIECE: usize = 64 * 1024;

    /// Bytes of the first piece that are made to be there with the stack: an exec takes 7 KB and five times its environment, a
    /// create 8 KB more than its config.json and that. What else is used of pieces is made as it is asked for.
    const STEP: usize = 8 * 1024;

    /// A block of so many bytes is one of the kernel's.
    const LARGE: usize = 32 * 1024;

    /// The least stack with a piece on it: arguments and environment may take a quarter of it (execve(2)).
    const STACK: u64 = 256 * 1024;

    /// Bytes of stack that are made to be there at once, as many as a create or an exec comes to use.
    const DEPTH: usize = 16 * 1024;

    /// Bytes of a page.
    const PAGE: usize = 4096;

    /// Bytes of a huge page.
    const HUGE: usize = 2 * 1024 * 1024;

    impl Arena {
        /// Whose a block of this layout is: the arena's, if the owner asks and it is short; else the kernel's; none where the
        /// C library has all.
        fn has(&self, size: usize) -> Option<bool> {
            let owner = self.owner.load(Ordering::Relaxed);
            (owner != 0).then(|| size < LARGE && owner == thread_pointer())
        }

        /// The next block, from a new piece where this one has no more room.
        fn take(&self, layout: Layout) -> *mut u8 {
            let mut at = self.next.get().next_multiple_of(layout.align());
            if at + layout.size() > self.end.get() {
                let piece = map(PIECE, 0);
                if piece.is_null() {
                    return piece;
                }
                at = piece.expose_provenance();
                self.begin(at, at, at + PIECE);
            }
            self.use_up_to(at + layout.size());
            ptr::with_exposed_provenance_mut(at)
        }

        /// Takes a piece into use, of which the pages up to `there` are there.
        fn begin(&self, next: usize, there: usize, end: usize) {
            self.next.set(next);
            self.there.set(there);
            self.end.set(end);
        }

        /// Moves `next`, and asks for the pages that aren't there yet.
        fn use_up_to(&self, next: usize) {
            self.next.set(next);
            let there = self.there.get();
            if next > there {
                // a page more than is asked for: asking once more takes as long as two pages
                let more = (next - there).next_multiple_of(PAGE) + PAGE;
                populate(there, more);
                self.there.set(there + more);
            }
        }

        /// Makes the block that was given out last longer or shorter, or nothing at all.
        fn resize_last(&self, block: *mut u8, old: usize, new: usize) -> bool {
            let fits = block.addr() + old == self.next.get() && block.addr() + new <= self.end.get();
            if fits {
                self.use_up_to(block.addr() + new);
            }
            fits
        }
    }

    // SAFETY: blocks are aligned, as long as asked, and given to nobody else until they are given back. Whether the arena
    // has an owner is decided before the first block, so each goes back where it is from: what another thread asks for is the
    // kernel's whatever its size, and what is short and not given back to the owner is left where it is.
    unsafe impl GlobalAlloc for Arena {
        // In line they would stand at a thousand places, and make the program a sixth larger.
        #[inline(never)]
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            match self.has(layout.size()) {
                // SAFETY: the caller's word.
                None => unsafe { System.alloc(layout) },
                Some(_) if layout.align() > PAGE => ptr::null_mut(),
                Some(false) => map(layout.size(), libc::MAP_POPULATE),
                Some(true) => self.take(layout),
            }
        }

        #[inline(never)]
        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            match self.has(layout.size()) {
                // SAFETY: the caller's word.
                None => unsafe { System.dealloc(block, layout) },
                // SAFETY: it is a whole mapping.
                Some(_) if layout.size() >= LARGE => unsafe {
                    system_call(libc::SYS_munmap, [block.addr(), mapped(layout.size()), 0, 0, 0, 0]);
                },
                Some(false) => {}
                Some(true) => {
                    self.resize_last(block, layout.size(), 0);
                }
            }
        }

        #[inline(never)]
        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            let Some(owned) = self.has(layout.size().max(size)) else {
                // SAFETY: the caller's word.
                return unsafe { System.realloc(block, layout, size) };
            };
            if layout.size() >= LARGE && size >= LARGE {
                let (old, new) = (mapped(layout.size()), mapped(size));
                let words = [block.addr(), old, new, libc::MREMAP_MAYMOVE as usize, 0, 0];
                // SAFETY: it is a whole mapping.
                return address(unsafe { system_call(libc::SYS_mremap, words) });
            }
            if owned && self.resize_last(block, layout.size(), size) {
                return block;
            }
            // SAFETY: the caller's word: the alignment is good, and the size is no overflow.
            unsafe {
                let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
                if !new.is_null() {
                    new.copy_from_nonoverlapping(block, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                new
            }
        }
    }

    /// What tells this thread from the others: the address of its storage, which the first word there repeats (ELF Handling
    /// For Thread-Local Storage, 3.4.2).
    fn thread_pointer() -> usize {
        let pointer;
        // SAFETY: it reads the thread's own storage, which is there before there is an owner.
        unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(nostack, readonly, preserves_flags)) };
        pointer
    }

    /// Asks for pages, several at a time: taking them one by one costs a fault each. What a kernel can't do of it (before 5.14)
    /// is done at the first touch.
    fn populate(at: usize, length: usize) {
        // SAFETY: what is mapped there keeps its bytes, and what isn't stays so.
        unsafe {
            system_call(libc::SYS_madvise, [at, length, libc::MADV_POPULATE_WRITE as usize, 0, 0, 0]);
        }
    }

    /// What is mapped for so many bytes. The kernel puts whole huge pages where they can be huge.
    fn mapped(size: usize) -> usize {
        if size < HUGE { size } else { size.next_multiple_of(HUGE) }
    }

    /// Memory of the kernel's; with MAP_POPULATE every page of it is there at once. Where that takes many, they are huge if
    /// the kernel has such, for one is made in a tenth of the time of its 512 parts.
    fn map(size: usize, at_once: i32) -> *mut u8 {
        let size = mapped(size);
        let now = if size < HUGE { at_once } else { 0 };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | now;
        let words = [0, size, (libc::PROT_READ | libc::PROT_WRITE) as usize, flags as usize, usize::MAX, 0];
        // SAFETY: it is a new mapping.
        let block = address(unsafe { system_call(libc::SYS_mmap, words) });
        if size >= HUGE && !block.is_null() {
            // SAFETY: the mapping is ours, and its bytes stay what they are.
            unsafe {
                system_call(libc::SYS_madvise, [block.addr(), size, libc::MADV_HUGEPAGE as usize, 0, 0, 0]);
            }
            populate(block.addr(), size);
        }
        block
    }

    /// What mmap(2) and mremap(2) answer: an address, or a small number below zero.
    fn address(answer: isize) -> *mut u8 {
        match (-4095..0).contains(&answer) {
            true => ptr::null_mut(),
            false => ptr::with_exposed_provenance_mut(answer as usize),
        }
    }

    // The functions that the compiler calls by itself. The C library's own choose among copies by the processor's features and
    // by thresholds that its start-up computes; these need neither.

    /// memcpy(3). Most blocks are short, and starting `rep movsb` takes as long as copying hundreds of bytes: up to 256 go
    /// in pieces, the last of which overlaps the one before.
    // SAFETY: the name, the signature and the work of C's; it reads and writes within both blocks.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        naked_asm!(
            "mov rax, rdi",
            "cmp rdx, 16",
            "jb 3f",
            "cmp rdx, 256",
            "ja 6f",
            "movups xmm1, [rsi + rdx - 16]",
            "lea r8, [rdi + rdx - 16]",
            "2:",
            "movups xmm0, [rsi]",
            "movups [rdi], xmm0",
            "add rsi, 16",
            "add rdi, 16",
            "cmp rdi, r8",
            "jb 2b",
            "movups [r8], xmm1",
            "ret",
            "3:",
            "cmp rdx, 8",
            "jb 4f",
            "mov rcx, [rsi]",
            "mov r8, [rsi + rdx - 8]",
            "mov [rdi], rcx",
            "mov [rdi + rdx - 8], r8",
            "ret",
            "4:",
            "cmp rdx, 4",
            "jb 5f",
            "mov ecx, [rsi]",
            "mov r8d, [rsi + rdx - 4]",
            "mov [rdi], ecx",
            "mov [rdi + rdx - 4], r8d",
            "ret",
            "5:",
            "test rdx, rdx",
            "je 7f",
            "movzx ecx, byte ptr [rsi]",
            "movzx r8d, byte ptr [rsi + rdx - 1]",
            "cmp rdx, 2",
            "jbe 8f",
            "movzx r9d, byte ptr [rsi + 1]",
            "mov [rdi + 1], r9b",
            "8:",
            "mov [rdi], cl",
            "mov [rdi + rdx - 1], r8b",
            "7:",
            "ret",
            "6:",
            "mov rcx, rdx",
            "rep movsb",
            "ret",
        )
    }

    /// mempcpy(3), a GNU extension: memcpy that answers with the end.
    // SAFETY: the name, the signature and the work of GNU's.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn mempcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        naked_asm!("mov rcx, rdx", "rep movsb", "mov rax, rdi", "ret")
    }

    /// What the C library itself calls mempcpy.
    // SAFETY: as above.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn __mempcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        naked_asm!("jmp {mempcpy}", mempcpy = sym mempcpy)
    }

    /// memmove(3): backwards where the end would overwrite what is still to be read.
    // SAFETY: the name, the signature and the work of C's; the direction flag is clear when it returns (ABI, 3.2.1).
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
        naked_asm!(
            "mov rax, rdi",
            "mov rcx, rdx",
            "mov r8, rdi",
            "sub r8, rsi",
            "cmp r8, rdx",
            "jb 2f",
            "rep movsb",
            "ret",
            "2:",
            "lea rdi, [rdi + rcx - 1]",
            "lea rsi, [rsi + rcx - 1]",
            "std",
            "rep movsb",
            "cld",
            "ret",
        )
    }

    /// memset(3).
    // SAFETY: the name, the signature and the work of C's.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
        naked_asm!("mov r8, rdi", "mov eax, esi", "mov rcx, rdx", "rep stosb", "mov rax, r8", "ret")
    }

    /// memcmp(3): eight bytes at a time, and the eight that differ one by one.
    // SAFETY: the name, the signature and the work of C's; it reads within both blocks.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
        naked_asm!(
            "2:",
            "cmp rdx, 8",
            "jb 3f",
            "mov rax, [rdi]",
            "cmp rax, [rsi]",
            "jne 3f",
            "add rdi, 8",
            "add rsi, 8",
            "sub rdx, 8",
            "jmp 2b",
            "3:",
            "test rdx, rdx",
            "je 4f",
            "movzx eax, byte ptr [rdi]",
            "movzx ecx, byte ptr [rsi]",
            "sub eax, ecx",
            "jne 5f",
            "inc rdi",
            "inc rsi",
            "dec rdx",
            "jmp 3b",
            "4:",
            "xor eax, eax",
            "5:",
            "ret",
        )
    }

    /// bcmp(3): whether two blocks differ.
    // SAFETY: the name and the signature of POSIX's, and more than its work.
    #[unsafe(naked)]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, length: usize) -> i32 {
        naked_asm!("jmp {memcmp}", memcmp = sym memcmp)
    }
}
