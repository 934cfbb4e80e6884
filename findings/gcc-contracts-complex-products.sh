#!/usr/bin/env bash
# GCC 12.2.0 (Debian 12): a product of complex numbers is contracted to vfmaddsub, in spite of -ffp-contract=off.
#
# Expected: with -ffp-contract=off no multiplication is joined with an addition: a b - c d rounds both products and
# the difference, on every processor.
# Happens: where the real and the imaginary part of a product are stored next to each other, the vectoriser of
# straight-line code makes one vfmaddsub231pd of the first products and both sums, at -O2 and -O3, for AVX2 and AVX-512.
# So (1 + 2^-27) (1 - 2^-27) - 1 1 is -2^-54, where it should be 0. -fno-tree-slp-vectorize rounds as asked.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
command -v gcc-12 > compiler || { apt-get update -qq && apt-get install -qq --yes gcc-12=12.2.0-14+deb12u1 > /dev/null; }
gcc-12 --version | head -n 1

cat > times.c <<'C'
void times(double *z, double re, double im) {
  double first = z[0];
  z[0] = first * re - z[1] * im;
  z[1] = first * im + z[1] * re;
}
C
cat > main.c <<'C'
#include <stdio.h>
void times(double *z, double re, double im);
int main(void) {
  double small = 1.0 / (1 << 27), z[2] = {1 + small, 1.0};
  times(z, 1 - small, 1.0);
  printf("(1 + 2^-27) (1 - 2^-27) - 1 1 = %g\n", z[0]);
}
C
for options in "-O2" "-O3" "-O2 -fno-tree-slp-vectorize"; do
  gcc-12 $options -march=x86-64-v3 -ffp-contract=off -c times.c -o times.o
  gcc-12 main.c times.o -o main
  echo "$options: vfmaddsub $(objdump -d times.o | grep -c vfmaddsub || true), $(./main)"
done | tee seen.txt

diff seen.txt - <<'EXPECTED' && echo "as described" || { echo "something else than described" >&2; exit 1; }
-O2: vfmaddsub 1, (1 + 2^-27) (1 - 2^-27) - 1 1 = -5.55112e-17
-O3: vfmaddsub 1, (1 + 2^-27) (1 - 2^-27) - 1 1 = -5.55112e-17
-O2 -fno-tree-slp-vectorize: vfmaddsub 0, (1 + 2^-27) (1 - 2^-27) - 1 1 = 0
EXPECTED
