/* Making the subject do things: system calls, touches, forks. */
#include "recorder.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#ifndef SYS_mlock2
#define SYS_mlock2 325
#endif

/*
 * code page:
 *   0x00  0f 05 cc                         syscall; int3
 *   0x10  8a 07  88 03  48 ff c3           mov (%rdi),%al; mov %al,(%rbx); inc %rbx
 *         48 01 f7  48 ff c9  75 f1  cc    add %rsi,%rdi; dec %rcx; jnz 0x10; int3
 *   0x30  88 17  48 01 f7  48 ff c9  75 f6  cc   mov %dl,(%rdi); ...
 */
#define RDLOOP 0x10
#define WRLOOP 0x30
static const u8 c_sys[] = { 0x0f, 0x05, 0xcc };
static const u8 c_rd[] = { 0x8a, 0x07, 0x88, 0x03, 0x48, 0xff, 0xc3, 0x48, 0x01, 0xf7, 0x48, 0xff, 0xc9, 0x75, 0xf1, 0xcc };
static const u8 c_wr[] = { 0x88, 0x17, 0x48, 0x01, 0xf7, 0x48, 0xff, 0xc9, 0x75, 0xf6, 0xcc };

static struct user_regs_struct base_regs;
int fd_rw = -1, fd_ro = -1;

/* the code page and the data page, which the subject inherits */
void put_stub(void)
{
	if (mmap((void *)STUB, PS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
	    mmap((void *)DATA, PS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
		die("can't map the subject's pages");
	memcpy((void *)STUB, c_sys, sizeof c_sys);
	memcpy((void *)(STUB + RDLOOP), c_rd, sizeof c_rd);
	memcpy((void *)(STUB + WRLOOP), c_wr, sizeof c_wr);
	if (mprotect((void *)STUB, PS, PROT_READ | PROT_EXEC))
		die("can't make the subject's code executable");
	*(volatile u8 *)DATA = 1;
}

/* the registers of the stopped subject, from which all else starts */
void stop_at_stub(pid_t pid)
{
	if (ptrace(PTRACE_GETREGS, pid, 0, &base_regs))
		die("can't read the subject's registers");
}

/* run from the given registers to the next stop; the status of that stop */
static int run_regs(pid_t pid, struct user_regs_struct *r)
{
	int st;
	r->orig_rax = -1;
	if (ptrace(PTRACE_SETREGS, pid, 0, r))
		die("can't set registers");
	do {
		if (ptrace(PTRACE_CONT, pid, 0, 0) || waitpid(pid, &st, __WALL) != pid)
			die("the subject is gone");
		if (!WIFSTOPPED(st))
			die("the subject ended with status %x", st);
	} while (WSTOPSIG(st) == SIGCHLD || WSTOPSIG(st) == SIGWINCH);        /* suppressed */
	if (ptrace(PTRACE_GETREGS, pid, 0, r))
		die("can't read registers");
	return st >> 8;
}

long inject(pid_t pid, long nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f)
{
	struct user_regs_struct r = base_regs;
	int s;
	r.rip = STUB; r.rax = nr; r.rdi = a; r.rsi = b; r.rdx = c; r.r10 = d; r.r8 = e; r.r9 = f;
	r.rsp = 0;
	s = run_regs(pid, &r);
	if (s != SIGTRAP || r.rip != STUB + 3)
		die("system call %ld was stopped by signal %d", nr, s);
	return (long)r.rax;
}

void put_op(struct buf *b, struct op *o)
{
	bput(b, "\"op\":\"%s\"", kname[o->kind]);
	switch (o->kind) {
	case RD: case WR:
		bput(b, ",\"addr\":");
		baddr(b, o->addr);
		bput(b, ",\"n\":%d,\"stride\":%d", o->n, o->stride);
		if (o->kind == WR)
			bput(b, ",\"val\":%d", o->val);
		return;
	case MLOCKALL:
		bput(b, ",\"flags\":%llu", (unsigned long long)o->flags);
		return;
	case MUNLOCKALL: case FORK:
		return;
	case SETRLIMIT:
		bput(b, ",\"res\":\"%s\",\"cur\":%lld,\"max\":%lld", o->res == RLIMIT_AS ? "AS" : "MEMLOCK", (long long)o->cur,
		     (long long)o->max);
		return;
	case FTRUNCATE:
		bput(b, ",\"fd\":\"%s\",\"size\":%llu", fdname[o->fd], (unsigned long long)o->len2);
		return;
	}
	bput(b, ",\"addr\":");
	baddr(b, o->addr);
	bput(b, ",\"len\":%llu", (unsigned long long)o->len);
	if (o->kind == MMAP)
		bput(b, ",\"prot\":%llu,\"flags\":%llu,\"fd\":\"%s\",\"off\":%llu", (unsigned long long)o->prot,
		     (unsigned long long)o->flags, fdname[o->fd], (unsigned long long)o->off);
	else if (o->kind == MPROTECT)
		bput(b, ",\"prot\":%llu", (unsigned long long)o->prot);
	else if (o->kind == MREMAP) {
		bput(b, ",\"new\":%llu,\"flags\":%llu", (unsigned long long)o->len2, (unsigned long long)o->flags);
		if (o->flags & MREMAP_FIXED) {
			bput(b, ",\"naddr\":");
			baddr(b, o->addr2);
		}
	} else if (o->kind == MADVISE)
		bput(b, ",\"advice\":%d", (int)o->flags);
	else if (o->kind == MSYNC || o->kind == MLOCK2)
		bput(b, ",\"flags\":%llu", (unsigned long long)o->flags);
}

static u64 descriptor(int fd)
{
	return fd == FD_RW ? (u64)fd_rw : fd == FD_RO ? (u64)fd_ro : fd == FD_BAD ? 777 : (u64)-1;
}

static void touch(pid_t pid, struct op *o, struct buf *b)
{
	struct user_regs_struct r = base_regs;
	u8 *data = (u8 *)DATA;
	long mi0, ma0, mi1, ma1;
	siginfo_t si;
	int s, done, i;
	faults(pid, &mi0, &ma0);
	r.rip = STUB + (o->kind == RD ? RDLOOP : WRLOOP);
	r.rdi = o->addr; r.rsi = o->stride * PS; r.rcx = o->n; r.rdx = o->val;
	r.rbx = DATA; r.rax = 0; r.rsp = 0;
	s = run_regs(pid, &r);
	faults(pid, &mi1, &ma1);
	done = o->n - (int)r.rcx;
	bput(b, ",\"done\":%d", done);
	if (s != SIGTRAP) {
		if (ptrace(PTRACE_GETSIGINFO, pid, 0, &si))
			die("can't read the signal");
		if ((u64)si.si_addr != r.rdi)
			die("a fault at %p, expected at %llx", si.si_addr, r.rdi);
		bput(b, ",\"sig\":\"%s\",\"code\":%d,\"at\":", s == SIGSEGV ? "SIGSEGV" : s == SIGBUS ? "SIGBUS" : "?", si.si_code);
		baddr(b, r.rdi);
	}
	if (o->kind == RD && done) {
		bput(b, ",\"vals\":\"");
		for (i = 0; i < done; i++)
			bput(b, "%02x", data[i]);
		bput(b, "\"");
	}
	bput(b, ",\"minflt\":%ld,\"majflt\":%ld", mi1 - mi0, ma1 - ma0);
}

static long call(pid_t pid, struct op *o)
{
	u64 *d = (u64 *)DATA;
	switch (o->kind) {
	case MMAP: return inject(pid, SYS_mmap, o->addr, o->len, o->prot, o->flags, descriptor(o->fd), o->off);
	case MUNMAP: return inject(pid, SYS_munmap, o->addr, o->len, 0, 0, 0, 0);
	case MPROTECT: return inject(pid, SYS_mprotect, o->addr, o->len, o->prot, 0, 0, 0);
	case MREMAP: return inject(pid, SYS_mremap, o->addr, o->len, o->len2, o->flags, o->addr2, 0);
	case MADVISE: return inject(pid, SYS_madvise, o->addr, o->len, o->flags, 0, 0, 0);
	case MINCORE:
		memset(d, 0xff, PS);
		return inject(pid, SYS_mincore, o->addr, o->len, DATA, 0, 0, 0);
	case MSYNC: return inject(pid, SYS_msync, o->addr, o->len, o->flags, 0, 0, 0);
	case MLOCK: return inject(pid, SYS_mlock, o->addr, o->len, 0, 0, 0, 0);
	case MLOCK2: return inject(pid, SYS_mlock2, o->addr, o->len, o->flags, 0, 0, 0);
	case MUNLOCK: return inject(pid, SYS_munlock, o->addr, o->len, 0, 0, 0, 0);
	case MLOCKALL: return inject(pid, SYS_mlockall, o->flags, 0, 0, 0, 0, 0);
	case MUNLOCKALL: return inject(pid, SYS_munlockall, 0, 0, 0, 0, 0, 0);
	case FTRUNCATE: return inject(pid, SYS_ftruncate, descriptor(o->fd), o->len2, 0, 0, 0, 0);
	case SETRLIMIT:
		d[0] = o->cur;
		d[1] = o->max;
		return inject(pid, SYS_setrlimit, o->res, DATA, 0, 0, 0, 0);
	}
	return 0;
}

static void put_vector(struct buf *b)
{
	u8 *data = (u8 *)DATA;
	char vec[PS];
	int n;
	for (n = 0; n < (int)PS && data[n] != 0xff; n++)
		vec[n] = data[n] & 1 ? 'r' : '.';
	bput(b, ",\"vec\":\"");
	brle(b, vec, n);
	bput(b, "\"");
}

/* one operation of pid that is no fork, and its results */
static void do_op(pid_t pid, struct op *o, struct buf *b)
{
	long mi0, ma0, mi1, ma1, ret;
	if (o->kind == RD || o->kind == WR) {
		touch(pid, o, b);
		return;
	}
	faults(pid, &mi0, &ma0);
	ret = call(pid, o);
	faults(pid, &mi1, &ma1);
	if (ret < 0 && ret > -4096) {
		bput(b, ",\"ret\":-1,\"err\":\"%s\"", ename(-ret));
	} else if (o->kind == MMAP || o->kind == MREMAP) {
		bput(b, ",\"ret\":");
		baddr(b, ret);
	} else {
		bput(b, ",\"ret\":%ld", ret);
	}
	if (o->kind == MINCORE)
		put_vector(b);
	bput(b, ",\"minflt\":%ld,\"majflt\":%ld", mi1 - mi0, ma1 - ma0);
}

void put_state(struct buf *b, pid_t pid, struct buf *last)
{
	static struct buf now;
	snapshot(pid, &now);
	if (last->p && last->n == now.n && !memcmp(last->p, now.p, now.n)) {
		bput(b, ",\"same\":true");
		return;
	}
	bput(b, ",\"st\":%s", now.p);
	last->n = 0;
	bput(last, "%s", now.p);
}

/* let pid fork: the child, or 0 after writing why not */
static pid_t fork_subject(pid_t pid, struct buf *b)
{
	struct user_regs_struct r = base_regs;
	long mi0, ma0, mi1, ma1;
	unsigned long msg;
	int s, st;
	faults(pid, &mi0, &ma0);
	r.rip = STUB; r.rax = SYS_fork; r.rsp = 0;
	s = run_regs(pid, &r);
	if (s != (SIGTRAP | PTRACE_EVENT_FORK << 8)) {
		if (s != SIGTRAP || (long)r.rax >= 0)
			die("fork: stopped by %x", s);
		bput(b, ",\"ret\":-1,\"err\":\"%s\",\"minflt\":0,\"majflt\":0", ename(-(long)r.rax));
		return 0;
	}
	if (ptrace(PTRACE_GETEVENTMSG, pid, 0, &msg))
		die("fork: no child");
	if (waitpid((pid_t)msg, &st, __WALL) != (pid_t)msg || !WIFSTOPPED(st))
		die("fork: the child has status %x", st);
	/* the parent on to the int3 */
	if (ptrace(PTRACE_CONT, pid, 0, 0) || waitpid(pid, &st, __WALL) != pid || st >> 8 != SIGTRAP)
		die("fork: the parent has status %x", st);
	faults(pid, &mi1, &ma1);
	bput(b, ",\"ret\":0,\"minflt\":%ld,\"majflt\":%ld", mi1 - mi0, ma1 - ma0);
	return (pid_t)msg;
}

static void end_child(pid_t pid, pid_t c)
{
	struct user_regs_struct r = base_regs;
	int st;
	r.rip = STUB; r.rax = SYS_exit_group; r.rdi = 0; r.rsp = 0; r.orig_rax = -1;
	if (ptrace(PTRACE_SETREGS, c, 0, &r) || ptrace(PTRACE_CONT, c, 0, 0))
		die("can't end the child");
	if (waitpid(c, &st, __WALL) != c || !WIFEXITED(st))
		die("the child ended with status %x", st);
	if (inject(pid, SYS_wait4, c, 0, 0, 0, 0, 0) != c)
		die("the child is not its parent's");
}

/* a fork, what the child does (the operations behind o), and its end */
static void do_fork(pid_t pid, struct op *o, struct buf *b)
{
	struct user_regs_struct q = base_regs;
	struct buf last = { 0 };
	pid_t c = fork_subject(pid, b);
	int k;
	if (!c)
		return;
	/* the child maps its data page again: shared mappings' entries are not copied */
	q.rip = STUB + WRLOOP; q.rdi = DATA; q.rsi = 0; q.rcx = 1; q.rdx = 0; q.rsp = 0;
	if (run_regs(c, &q) != SIGTRAP)
		die("the child can't use its data page");
	snapshot(c, &last);
	bput(b, ",\"child\":{\"st\":%s,\"ops\":[", last.p);
	for (k = 1; k <= o->nsub; k++) {
		bput(b, "%s{", k > 1 ? "," : "");
		put_op(b, o + k);
		do_op(c, o + k, b);
		put_state(b, c, &last);
		bput(b, "}");
	}
	bput(b, "]}");
	free(last.p);
	end_child(pid, c);
}

/* one operation of pid and its results */
void carry_out(pid_t pid, struct op *o, struct buf *b)
{
	if (o->kind == FORK)
		do_fork(pid, o, b);
	else
		do_op(pid, o, b);
}
