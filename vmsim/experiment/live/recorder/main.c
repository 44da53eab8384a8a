/* A program after the other: make a subject, let it carry the program out, write what happened, end it. */
#include "recorder.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef PTRACE_O_EXITKILL
#define PTRACE_O_EXITKILL 0x100000
#endif
#define NR_rseq 334

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));
static struct program program;
static pid_t cur_subject;

static void limit_memlock(void)
{
	struct rlimit rl = { program.soft, HARD_MEMLOCK };
	if (!setrlimit(RLIMIT_MEMLOCK, &rl))
		return;
	getrlimit(RLIMIT_MEMLOCK, &rl);
	if (rl.rlim_max > program.soft) {
		rl.rlim_cur = program.soft;
		setrlimit(RLIMIT_MEMLOCK, &rl);
	}
}

/* CAP_IPC_LOCK and CAP_SYS_RESOURCE */
static void drop_capabilities(void)
{
	struct { u32 ver; int pid; } ch = { 0x20080522, 0 };
	struct { u32 eff, perm, inh; } cd[2];
	u32 keep = ~(1u << 14 | 1u << 24);
	if (syscall(SYS_capget, &ch, cd))
		_exit(9);
	cd[0].eff &= keep;
	cd[0].perm &= keep;
	cd[0].inh &= keep;
	if (syscall(SYS_capset, &ch, cd))
		_exit(9);
}

/* the subject gives up all that would write into its memory behind its back, and stops */
static void subject(void)
{
	int fd;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	limit_memlock();
	if (program.drop_caps)
		drop_capabilities();
	for (fd = 0; fd < 256; fd++)
		if (fd != fd_rw && fd != fd_ro)
			close(fd);
	if (&__rseq_size && __rseq_size) {
		char *a = (char *)__builtin_thread_pointer() + __rseq_offset;
		if (syscall(NR_rseq, a, 32, 1, 0x53053053))
			syscall(NR_rseq, a, __rseq_size, 1, 0x53053053);
	}
	syscall(SYS_set_robust_list, NULL, 24);
	syscall(SYS_set_tid_address, NULL);
	*(volatile u8 *)DATA = 1;
	if (ptrace(PTRACE_TRACEME, 0, 0, 0))
		_exit(8);
	kill(getpid(), SIGSTOP);
	_exit(7);
}

static void on_alarm(int s)
{
	static const char message[] = "a program took too long\n";
	(void)s;
	if (cur_subject > 0)
		kill(cur_subject, SIGKILL);
	if (write(2, message, sizeof message - 1) < 0)
		_exit(5);
	_exit(4);
}

static pid_t start_subject(void)
{
	static struct vma v[MAXV];
	int st, i, nv;
	pid_t pid;
	put_stub();
	pid = fork();
	if (pid < 0)
		die("can't fork");
	if (!pid)
		subject();
	cur_subject = pid;
	if (waitpid(pid, &st, __WALL) != pid)
		die("the subject is gone");
	if (WIFEXITED(st) && WEXITSTATUS(st) == 8)
		die("this process may not trace its children (ptrace is refused)");
	if (!WIFSTOPPED(st))
		die("the subject ended with status %x", st);
	if (ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACEFORK | PTRACE_O_EXITKILL))
		die("can't set ptrace's options");
	stop_at_stub(pid);
	munmap((void *)STUB, PS);       /* from here on the code page is the subject's alone */
	nv = read_vmas(pid, v, MAXV);
	for (i = 0; i < nv; i++)
		if (v[i].s != STUB && v[i].s != DATA)
			inject(pid, SYS_munmap, v[i].s, v[i].e - v[i].s, 0, 0, 0, 0);
	return pid;
}

static void end_subject(pid_t pid)
{
	int st;
	cur_subject = 0;
	kill(pid, SIGKILL);
	ptrace(PTRACE_CONT, pid, 0, SIGKILL);
	waitpid(pid, &st, __WALL);
	munmap((void *)DATA, PS);
}

static void record(void)
{
	static struct buf out, last;
	struct op *o = program.ops;
	pid_t pid;
	int i;
	open_file(&program);
	pid = start_subject();
	out.n = 0;
	put_header(&out, pid, &program);
	snapshot(pid, &last);
	bput(&out, "{\"i\":-1,\"op\":\"start\",\"st\":%s}\n", last.p);
	for (i = 0; i < program.ntop; i++, o += 1 + o->nsub) {
		bput(&out, "{\"i\":%d,", i);
		put_op(&out, o);
		carry_out(pid, o, &out);
		put_state(&out, pid, &last);
		bput(&out, "}\n");
	}
	bput(&out, "{\"end\":%d}\n", program.ntop);
	fwrite(out.p, 1, out.n, stdout);
	fflush(stdout);
	end_subject(pid);
	close_file();
}

int main(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, on_alarm);
	while (read_program(&program)) {
		alarm(60);
		record();
		alarm(0);
	}
	return 0;
}
