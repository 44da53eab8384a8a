/*
 * Programs on standard input.  A line
 *	program SEED PROFILE DROP_CAPS SOFT_MEMLOCK FILE_SIZE CACHED OPERATIONS
 * is followed by so many lines of operations, each a name and numbers in the order of `fields`; `fork N` by the N operations of the child.
 */
#include "recorder.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *kname[NKIND] = { "mmap", "munmap", "mprotect", "mremap", "madvise", "mincore", "msync", "mlock", "mlock2", "munlock",
	"mlockall", "munlockall", "setrlimit", "read", "write", "fork", "ftruncate" };
const char *fdname[NFD] = { "none", "rw", "ro", "bad" };

/* a address, l length, p prot, f flags, d descriptor, o offset, w new length or size, t target, n touches, s stride, v byte, r resource,
 * c soft limit, m hard limit, k operations of the child */
static const char *fields[NKIND] = { "alpfdo", "al", "alp", "alwft", "alf", "al", "alf", "al", "alf", "al", "f", "", "rcm", "ans", "ansv",
	"k", "dw" };

static u64 number(void)
{
	char *word = strtok(NULL, " \n"), *end;
	u64 v;
	errno = 0;
	v = word ? strtoull(word, &end, 10) : 0;
	if (!word || *end || errno || *word == '-')
		die("program: %s is no number", word ? word : "the end of a line");
	return v;
}

static int small(u64 most, const char *what)
{
	u64 v = number();
	if (v > most)
		die("program: %s of %llu, at most %llu", what, (unsigned long long)v, (unsigned long long)most);
	return (int)v;
}

static char *line(void)
{
	static char text[512];
	if (!fgets(text, sizeof text, stdin))
		return NULL;
	if (!strchr(text, '\n'))
		die("program: a line without end");
	return strtok(text, " \n");
}

static void read_op(struct op *o, int in_child)
{
	char *name = line();
	const char *f;
	int k = 0;
	memset(o, 0, sizeof *o);
	while (k < NKIND && (!name || strcmp(name, kname[k])))
		k++;
	if (k == NKIND || (in_child && k == FORK))
		die("program: no operation %s", name ? name : "at the end");
	o->kind = k;
	for (f = fields[k]; *f; f++)
		switch (*f) {
		case 'a': o->addr = number(); break;
		case 'l': o->len = number(); break;
		case 'p': o->prot = number(); break;
		case 'f': o->flags = number(); break;
		case 'd': o->fd = small(NFD - 1, "a descriptor"); break;
		case 'o': o->off = number(); break;
		case 'w': o->len2 = number(); break;
		case 't': o->addr2 = number(); break;
		case 'n': o->n = small(AP, "touches"); break;
		case 's': o->stride = small(AP, "a stride"); break;
		case 'v': o->val = small(255, "a byte"); break;
		case 'r': o->res = small(15, "a resource"); break;
		case 'c': o->cur = number(); break;
		case 'm': o->max = number(); break;
		case 'k': o->nsub = small(MAXOPS, "operations of a child"); break;
		}
	if (strchr(fields[k], 'a') && o->addr < ARENA)
		die("program: an address below the arena");
	if (o->kind == MADVISE && (u32)o->flags - 100 < 2)
		die("program: advice that gives memory of the machine up");
	if (o->kind == MREMAP && o->addr2 && o->addr2 < ARENA)
		die("program: a target below the arena");
	if ((o->kind == RD || o->kind == WR) && (!o->n || !o->stride))
		die("program: no touches");
}

/* the next program, 0 at the end of the input */
int read_program(struct program *p)
{
	char *word = line();
	int i, k;
	if (!word)
		return 0;
	if (strcmp(word, "program"))
		die("program: expected one, found %.40s", word);
	p->seed = number();
	word = strtok(NULL, " \n");
	snprintf(p->profile, sizeof p->profile, "%.15s", word ? word : "");
	p->drop_caps = small(1, "a flag");
	p->soft = number();
	p->file_size = small(FP * PS, "a file");
	p->cached = number();
	p->ntop = small(MAXOPS, "operations");
	p->nops = 0;
	for (i = 0; i < p->ntop; i++) {
		struct op *o = &p->ops[p->nops];
		if (p->nops == MAXOPS)
			die("program: too long");
		read_op(&p->ops[p->nops++], 0);
		for (k = 0; k < o->nsub; k++) {
			if (p->nops == MAXOPS)
				die("program: too long");
			read_op(&p->ops[p->nops++], 1);
		}
	}
	return 1;
}
