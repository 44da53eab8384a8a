/*
 * The recorder of `vmsim record`: carries out programs of memory system calls and page touches on the running kernel and writes what
 * happened, call by call, as lines of JSON.
 *
 * How it measures without disturbing what it measures: a SUBJECT process is forked, then stripped by injected munmap()s of every mapping
 * that it has (text, data, heap, stack, vdso) except two one-page mappings of our own: a code page holding "syscall; int3" and two touch
 * loops, and a shared data page for results.  The recorder keeps its own memory, sets the subject's registers, lets it run to the int3
 * (or to SIGSEGV / SIGBUS, which ptrace reports before any signal frame is built), and reads its state from /proc/PID.
 */
#ifndef RECORDER_H
#define RECORDER_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef __x86_64__
#error "the injected code is x86-64"
#endif

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint8_t u8;

#define RECORDER 2
#define PS 4096ULL
#define ARENA 0x200000000000ULL
#define AP 512                          /* arena pages */
#define STUB 0x100000000000ULL          /* code page */
#define DATA (STUB + 2 * PS)            /* shared data page */
#define FP 64                           /* file pages */
#define HARD_MEMLOCK (8ULL << 20)
#define MAXOPS 8192                     /* of a program, those of children included */
#define MAXV 1200

enum kind { MMAP, MUNMAP, MPROTECT, MREMAP, MADVISE, MINCORE, MSYNC, MLOCK, MLOCK2, MUNLOCK, MLOCKALL, MUNLOCKALL, SETRLIMIT,
	RD, WR, FORK, FTRUNCATE, NKIND };
enum { FD_NONE, FD_RW, FD_RO, FD_BAD, NFD };

struct op {
	int kind;
	u64 addr, len;          /* all ranged ops; mremap: old address, length */
	u64 addr2, len2;        /* mremap: new address (if FIXED), new length; ftruncate: len2 is the size */
	u64 prot, flags;        /* madvise: flags = advice */
	int fd;
	u64 off;
	int n, stride, val;     /* touches */
	int res;                /* setrlimit resource */
	u64 cur, max;
	int nsub;               /* fork: the child's operations are the next ones */
};

struct program {
	u64 seed, soft, file_size, cached;      /* soft RLIMIT_MEMLOCK; bit p: file page p is in the page cache */
	char profile[16];
	int drop_caps, nops, ntop;              /* operations with and without those of children */
	struct op ops[MAXOPS];
};

struct vma {
	u64 s, e, off;
	char perm[5];
	unsigned dma, dmi;
	unsigned long ino;
	char path[128];
	long rss, anon, lock;
	char fl[160];
	int lo;
};

struct buf { char *p; size_t n, cap; };

extern const char *kname[NKIND], *fdname[NFD];
extern int fd_rw, fd_ro;
extern int nshm;                        /* shared anonymous objects seen in this sequence */
extern u64 zero_pfn;                    /* of the zero page, 0 if it can't be known */
extern dev_t file_dev;
extern ino_t file_ino;
extern void *file_map;                  /* the recorder's own PROT_NONE map, for mincore */

/* out.c */
void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
void bput(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void brle(struct buf *b, const char *s, int n);
void baddr(struct buf *b, u64 a);
const char *ename(int e);

/* program.c */
int read_program(struct program *p);

/* state.c */
int read_vmas(pid_t pid, struct vma *v, int max);
void read_status(pid_t pid, long *vsz, long *lck);
void faults(pid_t pid, long *mi, long *ma);
void put_vma(struct buf *b, struct vma *v, int arena);
void put_cached(struct buf *b);
void snapshot(pid_t pid, struct buf *b);

/* drive.c */
void put_stub(void);
void stop_at_stub(pid_t pid);
long inject(pid_t pid, long nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f);
void carry_out(pid_t pid, struct op *o, struct buf *b);
void put_op(struct buf *b, struct op *o);
void put_state(struct buf *b, pid_t pid, struct buf *last);

/* header.c */
void put_header(struct buf *b, pid_t pid, struct program *p);
void open_file(struct program *p);
void close_file(void);

#endif
