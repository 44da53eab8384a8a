/* What /proc tells of the subject. */
#include "recorder.h"
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

u64 zero_pfn;
dev_t file_dev;
ino_t file_ino;
void *file_map;
int nshm;
static unsigned long shm_ino[MAXOPS];
static int have_smaps = 1, have_pagemap = 1;

static int shm_id(unsigned long ino)
{
	int i;
	for (i = 0; i < nshm; i++)
		if (shm_ino[i] == ino)
			return i;
	if (nshm == MAXOPS)
		die("too many shared objects");
	shm_ino[nshm] = ino;
	return nshm++;
}

/* a line of smaps that is not a VMA's first */
static void smaps_field(struct vma *v, char *line)
{
	static const char *skip = " rd wr ex sh mr mw me ms sd ";
	char *t, k[8];
	long kb;
	if (sscanf(line, "Rss: %ld kB", &kb) == 1)
		v->rss = kb;
	else if (sscanf(line, "Anonymous: %ld kB", &kb) == 1)
		v->anon = kb;
	else if (sscanf(line, "Locked: %ld kB", &kb) == 1)
		v->lock = kb;
	if (strncmp(line, "VmFlags:", 8))
		return;
	for (t = strtok(line + 8, " \n"); t; t = strtok(NULL, " \n")) {
		snprintf(k, sizeof k, " %.4s ", t);
		if (strstr(skip, k))
			continue;
		if (!strcmp(t, "lo"))
			v->lo = 1;
		if (strlen(v->fl) + strlen(t) + 2 < sizeof v->fl) {
			if (v->fl[0])
				strcat(v->fl, " ");
			strcat(v->fl, t);
		}
	}
}

static FILE *open_smaps(pid_t pid)
{
	char path[64];
	FILE *f;
	snprintf(path, sizeof path, "/proc/%d/smaps", pid);
	f = have_smaps ? fopen(path, "r") : NULL;
	if (!f) {
		have_smaps = 0;
		snprintf(path, sizeof path, "/proc/%d/maps", pid);
		f = fopen(path, "r");
	}
	if (!f)
		die("can't read %s", path);
	return f;
}

/* all VMAs but the gate at the end of the address space; how many */
int read_vmas(pid_t pid, struct vma *v, int max)
{
	char line[1024];
	FILE *f = open_smaps(pid);
	int n = 0;
	while (fgets(line, sizeof line, f)) {
		struct vma x;
		int pos = 0;
		memset(&x, 0, sizeof x);
		if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %n", (unsigned long *)&x.s, (unsigned long *)&x.e, x.perm,
			   (unsigned long *)&x.off, &x.dma, &x.dmi, &x.ino, &pos) >= 7) {
			if (n >= max)
				die("more than %d VMAs", max);
			line[strcspn(line, "\n")] = 0;
			x.rss = x.anon = x.lock = -1;
			snprintf(x.path, sizeof x.path, "%.120s", line + pos);
			v[n++] = x;
		} else if (n) {
			smaps_field(&v[n - 1], line);
		}
	}
	fclose(f);
	while (n && !strcmp(v[n - 1].path, "[vsyscall]"))
		n--;
	return n;
}

void read_status(pid_t pid, long *vsz, long *lck)
{
	char path[64], line[256];
	FILE *f;
	long kb;
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	f = fopen(path, "r");
	*vsz = *lck = -1;
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		if (sscanf(line, "VmSize: %ld kB", &kb) == 1)
			*vsz = kb / 4;
		if (sscanf(line, "VmLck: %ld kB", &kb) == 1)
			*lck = kb / 4;
	}
	fclose(f);
}

void faults(pid_t pid, long *mi, long *ma)
{
	char path[64], b[1024], *p;
	int fd, n;
	unsigned long minf, cminf, majf;
	snprintf(path, sizeof path, "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		die("can't read %s", path);
	n = read(fd, b, sizeof b - 1);
	close(fd);
	b[n > 0 ? n : 0] = 0;
	p = strrchr(b, ')');
	if (!p || sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %lu %lu %lu", &minf, &cminf, &majf) != 3)
		die("can't parse %s", path);
	*mi = minf;
	*ma = majf;
}

static int is_file(struct vma *v)
{
	return v->ino == file_ino && v->dma == (unsigned)(file_dev >> 8 & 0xfff) &&
		v->dmi == (unsigned)((file_dev & 0xff) | (file_dev >> 12 & 0xfff00));
}

void put_vma(struct buf *b, struct vma *v, int arena)
{
	unsigned long long pgoff = v->off / PS;
	if (arena)
		bput(b, "[%lld,", (long long)(v->s - ARENA) / (long long)PS);
	else
		bput(b, "[\"0x%llx\",", (unsigned long long)v->s);
	bput(b, "%lld,\"%s\",", (long long)(v->e - v->s) / (long long)PS, v->perm);
	if (!v->ino)
		bput(b, "\"anon\",0,");
	else if (is_file(v))
		bput(b, "\"file\",%llu,", pgoff);
	else if (!strncmp(v->path, "/dev/zero", 9) && arena)
		bput(b, "\"shm%d\",%llu,", shm_id(v->ino), pgoff);
	else
		bput(b, "\"%s\",%llu,", !strncmp(v->path, "/dev/zero", 9) ? "shm" : "?", pgoff);
	bput(b, "%ld,%ld,%ld,\"%s\"]", v->rss < 0 ? -1 : v->rss / 4, v->anon < 0 ? -1 : v->anon / 4, v->lock, v->fl);
}

/* run-lengths of the arena's pages, or null where pagemap can't be read */
static void put_pages(struct buf *b, pid_t pid)
{
	static u64 pm[AP];
	char pg[AP], path[64];
	int fd, i;
	if (have_pagemap) {
		snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
		fd = open(path, O_RDONLY);
		if (fd < 0 || pread(fd, pm, sizeof pm, ARENA / PS * 8) != sizeof pm)
			have_pagemap = 0;
		if (fd >= 0)
			close(fd);
	}
	if (!have_pagemap) {
		bput(b, "null");
		return;
	}
	for (i = 0; i < AP; i++)
		if (pm[i] >> 63 & 1)
			pg[i] = pm[i] >> 61 & 1 ? 'F' : zero_pfn && (pm[i] & ((1ULL << 55) - 1)) == zero_pfn ? 'Z' : 'A';
		else
			pg[i] = pm[i] >> 62 & 1 ? 'S' : '.';
	bput(b, "\"");
	brle(b, pg, AP);
	bput(b, "\"");
}

/* run-lengths of the file's pages in the page cache */
void put_cached(struct buf *b)
{
	unsigned char mc[FP];
	char pc[FP];
	int i;
	memset(mc, 0, sizeof mc);
	if (file_map && mincore(file_map, FP * PS, mc))
		memset(mc, 0, sizeof mc);
	for (i = 0; i < FP; i++)
		pc[i] = mc[i] & 1 ? 'c' : '.';
	brle(b, pc, FP);
}

void snapshot(pid_t pid, struct buf *b)
{
	static struct vma v[MAXV];
	int n = read_vmas(pid, v, MAXV), i, first = 1, outlo = 0;
	long vsz, lck;
	b->n = 0;
	read_status(pid, &vsz, &lck);
	bput(b, "{\"vmas\":[");
	for (i = 0; i < n; i++) {
		if (v[i].e <= ARENA || v[i].s >= ARENA + AP * PS) {
			if (v[i].lo)
				outlo += (v[i].e - v[i].s) / PS;
			continue;
		}
		if (!first)
			bput(b, ",");
		first = 0;
		put_vma(b, &v[i], 1);
	}
	bput(b, "],\"vsz\":%ld,\"lck\":%ld,\"out\":%d,\"pages\":", vsz, lck, outlo);
	put_pages(b, pid);
	if (file_map) {
		bput(b, ",\"pc\":\"");
		put_cached(b);
		bput(b, "\"");
	}
	bput(b, "}");
}
