/* A program without a C library, small enough that lackey's trace of it is a few hundred lines:
 *   gcc -O1 -static -nostdlib -fno-stack-protector -fcf-protection=none -o touch touch.c
 *   valgrind --tool=lackey --trace-mem=yes --detailed-counts=yes ./touch 2> touch.lackey
 * It writes 24 words in 12 pages, reads them, and adds to each of the first 8. */
static volatile long words[12 * 512];

void _start(void)
{
	long sum = 0;

	for (int i = 0; i < 24; i++)
		words[i * 256] = i;
	for (int i = 0; i < 24; i++)
		sum += words[i * 256];
	for (int i = 0; i < 8; i++)
		__asm__ volatile("addq %1, %0" : "+m"(words[i * 256]) : "r"(sum));
	__asm__ volatile("syscall" : : "a"(60), "D"(0));
}
