/* Text that grows, addresses and run-lengths in it, errors. */
#include "recorder.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *ename(int e)
{
	static char b[16];
	switch (e) {
#define E(x) case x: return #x;
	E(EPERM) E(ENOENT) E(EINTR) E(EIO) E(EBADF) E(EAGAIN) E(ENOMEM) E(EACCES) E(EFAULT) E(EBUSY) E(EEXIST) E(ENODEV) E(EINVAL)
	E(ENFILE) E(EMFILE) E(ETXTBSY) E(EFBIG) E(ENOSPC) E(ENOSYS) E(EOVERFLOW) E(EOPNOTSUPP) E(ESRCH)
#undef E
	}
	snprintf(b, sizeof b, "E%d", e);
	return b;
}

void die(const char *fmt, ...)
{
	va_list ap;
	int e = errno;
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (e)
		fprintf(stderr, " (%s)", strerror(e));
	fprintf(stderr, "\n");
	_exit(3);
}

void bput(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int k;
	for (;;) {
		if (b->cap - b->n < 512) {
			b->cap = b->cap ? b->cap * 2 : 65536;
			b->p = realloc(b->p, b->cap);
			if (!b->p)
				die("no memory");
		}
		va_start(ap, fmt);
		k = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
		va_end(ap);
		if ((size_t)k < b->cap - b->n)
			break;
		b->cap *= 2;
		b->p = realloc(b->p, b->cap);
		if (!b->p)
			die("no memory");
	}
	b->n += k;
}

void brle(struct buf *b, const char *s, int n)
{
	int i, j;
	for (i = 0; i < n; i = j) {
		for (j = i; j < n && s[j] == s[i]; j++)
			;
		bput(b, "%d%c", j - i, s[i]);
	}
}

void baddr(struct buf *b, u64 a)
{
	bput(b, "[%lld,%d]", (long long)((a & ~(PS - 1)) - ARENA) / (long long)PS, (int)(a & (PS - 1)));
}
