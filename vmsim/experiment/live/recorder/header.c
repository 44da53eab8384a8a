/* The test file of a program, and what the header says of the machine. */
#include "recorder.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifndef SYS_memfd_create
#define SYS_memfd_create 319
#endif

static long around_first, around_pages;

/* a file without a name, on the kernel's own tmpfs or on /dev/shm */
static int create(void)
{
	int fd = syscall(SYS_memfd_create, "vmsim", 0);
	return fd >= 0 ? fd : open("/dev/shm", O_TMPFILE | O_RDWR, 0600);
}

static void write_page(int p, u64 size)
{
	char pg[PS];
	u64 off = p * PS, n = off + PS > size ? size - off : PS;
	memset(pg, p + 1, sizeof pg);
	if (off < size && pwrite(fd_rw, pg, n, off) != (ssize_t)n)
		die("can't write the file");
}

static u64 own_pagemap(void *a)
{
	u64 v = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	if (fd >= 0) {
		if (pread(fd, &v, 8, (u64)a / PS * 8) != 8)
			v = 0;
		close(fd);
	}
	return v;
}

/* which pages come into the page table with page 37 of a cached file */
static void measure_around(void)
{
	char *m = mmap((void *)(STUB + 16 * 1024 * PS), FP * PS, PROT_READ, MAP_SHARED | MAP_FIXED, fd_rw, 0);
	int i;
	around_first = around_pages = -1;
	if (m == MAP_FAILED)
		return;
	(void)*(volatile u8 *)(m + 37 * PS);
	for (around_pages = 0, i = 0; i < FP; i++)
		if (own_pagemap(m + i * PS) >> 63) {
			if (!around_pages)
				around_first = i;
			around_pages++;
		}
	munmap(m, FP * PS);
}

static void find_zero_page(void)
{
	void *z = mmap(NULL, PS, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)*(volatile u8 *)z;
	zero_pfn = own_pagemap(z) & ((1ULL << 55) - 1);
	munmap(z, PS);
}

void open_file(struct program *p)
{
	char path[64];
	struct stat sb;
	int i;
	fd_rw = create();
	if (fd_rw < 0)
		die("can't create a file on tmpfs");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd_rw);
	fd_ro = open(path, O_RDONLY);
	if (fd_ro < 0)
		die("can't open the file for reading");
	for (i = 0; i < FP; i++)
		write_page(i, FP * PS);
	measure_around();
	if (ftruncate(fd_rw, 0) || ftruncate(fd_rw, p->file_size))
		die("can't change the file's size");
	for (i = 0; i < FP; i++)
		if (p->cached >> i & 1)
			write_page(i, p->file_size);
	if (fstat(fd_rw, &sb))
		die("can't look at the file");
	file_dev = sb.st_dev;
	file_ino = sb.st_ino;
	file_map = mmap(NULL, FP * PS, PROT_NONE, MAP_SHARED, fd_rw, 0);
	if (file_map == MAP_FAILED)
		file_map = NULL;
	find_zero_page();
	nshm = 0;
}

void close_file(void)
{
	if (file_map)
		munmap(file_map, FP * PS);
	close(fd_rw);
	close(fd_ro);
}

static long slurp_long(const char *path)
{
	char b[64];
	int fd = open(path, O_RDONLY), n;
	if (fd < 0)
		return -1;
	n = read(fd, b, sizeof b - 1);
	close(fd);
	if (n <= 0)
		return -1;
	b[n] = 0;
	return strtol(b, NULL, 10);
}

/* the first line of a file as a JSON string */
static void put_text(struct buf *b, const char *key, const char *path)
{
	char t[128];
	int fd = open(path, O_RDONLY), n = fd < 0 ? -1 : (int)read(fd, t, sizeof t - 1), i;
	if (fd >= 0)
		close(fd);
	for (i = 0; i < n && t[i] != '\n'; i++)
		if (t[i] == '"' || t[i] == '\\' || (u8)t[i] < 32)
			t[i] = ' ';
	bput(b, "\"%s\":\"%.*s\",", key, i < n || n > 0 ? i : 0, n > 0 ? t : "");
}

static void put_limit(struct buf *b, pid_t pid, const char *key, int resource)
{
	struct rlimit rl;
	if (prlimit(pid, resource, NULL, &rl))
		die("can't read a limit");
	bput(b, "\"rlimit_%s\":[%lld,%lld],", key, (long long)rl.rlim_cur, (long long)rl.rlim_max);
}

/* the value behind a line's name in a file of /proc, as text */
static void proc_value(const char *path, const char *name, char *value, size_t size)
{
	char line[256];
	size_t n = strlen(name);
	FILE *f = fopen(path, "r");
	value[0] = 0;
	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, name, n))
			snprintf(value, size, "%s", line + n + strspn(line + n, " \t"));
	if (f)
		fclose(f);
}

static void put_machine(struct buf *b, pid_t pid)
{
	char path[64], caps[64], mem[64], swap[64];
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	proc_value(path, "CapEff:", caps, sizeof caps);
	bput(b, "\"uid\":%d,\"cap_ipc_lock\":%s,", (int)getuid(), strtoull(caps, NULL, 16) >> 14 & 1 ? "true" : "false");
	put_limit(b, pid, "memlock", RLIMIT_MEMLOCK);
	put_limit(b, pid, "as", RLIMIT_AS);
	put_limit(b, pid, "stack", RLIMIT_STACK);
	put_limit(b, pid, "data", RLIMIT_DATA);
	proc_value("/proc/meminfo", "MemTotal:", mem, sizeof mem);
	proc_value("/proc/meminfo", "SwapTotal:", swap, sizeof swap);
	bput(b, "\"mem_total_kb\":%ld,\"swap_total_kb\":%ld,", atol(mem), atol(swap));
	bput(b, "\"max_map_count\":%ld,\"overcommit\":[%ld,%ld],\"fault_around_bytes\":%ld,",
	     slurp_long("/proc/sys/vm/max_map_count"), slurp_long("/proc/sys/vm/overcommit_memory"),
	     slurp_long("/proc/sys/vm/overcommit_ratio"), slurp_long("/sys/kernel/debug/fault_around_bytes"));
	bput(b, "\"fault_around_measured\":{\"file_page\":37,\"first\":%ld,\"pages\":%ld},", around_first, around_pages);
	put_text(b, "thp", "/sys/kernel/mm/transparent_hugepage/enabled");
	put_text(b, "shmem_thp", "/sys/kernel/mm/transparent_hugepage/shmem_enabled");
	bput(b, "\"thp_disabled\":%s,\"swaps_file\":%s,\"zero_page_known\":%s,",
	     prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0 ? "true" : "false", access("/proc/swaps", F_OK) == 0 ? "true" : "false",
	     zero_pfn ? "true" : "false");
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

static void put_outside(struct buf *b, pid_t pid)
{
	static struct vma v[MAXV];
	int i, k = 0, nv = read_vmas(pid, v, MAXV);
	long vsz, lck;
	read_status(pid, &vsz, &lck);
	bput(b, "\"outside\":[");
	for (i = 0; i < nv; i++)
		if (v[i].e <= ARENA || v[i].s >= ARENA + AP * PS) {
			bput(b, "%s", k++ ? "," : "");
			put_vma(b, &v[i], 0);
		}
	bput(b, "],\"base_total_vm\":%ld,\"base_vmas\":%d,\"base_locked_vm\":%ld,", vsz, nv, lck);
}

void put_header(struct buf *b, pid_t pid, struct program *p)
{
	struct utsname un;
	struct statfs fs;
	uname(&un);
	if (fstatfs(fd_rw, &fs))
		die("can't look at the file system");
	bput(b, "{\"header\":{\"recorder\":%d,\"seed\":%llu,\"profile\":\"%s\",\"ops\":%d,\"kernel\":\"%s\",\"machine\":\"%s\","
	     "\"page_size\":%llu,\"arena\":\"0x%llx\",\"arena_pages\":%d,", RECORDER, (unsigned long long)p->seed, p->profile, p->ntop,
	     un.release, un.machine, PS, ARENA, AP);
	put_machine(b, pid);
	put_outside(b, pid);
	bput(b, "\"file\":{\"pages\":%d,\"size\":%llu,\"fs_type\":\"0x%lx\",\"fill\":\"page p holds byte p+1\",\"cached\":\"", FP,
	     (unsigned long long)p->file_size, (unsigned long)fs.f_type);
	put_cached(b);
	bput(b, "\"}}}\n");
}
