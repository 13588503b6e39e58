/* A runtime that does nothing, so that what stands in front of it is all that is measured. */
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return write(1, "crun version 1.20\n", 18) != 18;
	return 0;
}
