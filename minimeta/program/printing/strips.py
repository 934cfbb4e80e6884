"""The table of operations on a strip: elements one step apart, folded to a number or to another strip.

A reduction, a softmax or a running sum is computed strip by strip. Each row is a function in a
subset of what C and JavaScript share:

    sum(x, at, step, n)     of  x[at], x[at + step], ..., x[at + (n - 1) step]

``REAL`` and ``INT`` declare variables, ``WIDE`` one that is a double in both languages, ``@sum`` is
another row, and ``$exp`` a function of the language's own (``WIDE_exp`` in double). A sum is taken in the order of
``csrc/fold.hpp``, eight lanes and a tree, and blocks joined pairwise, so it has the bits of the
kernel. A product by a vector has the blocks of ``csrc/vector_product.hpp``, but adds them up one
after another: beyond one block of 128 terms, its last bits may differ. Other folds add in double.
"""

from __future__ import annotations

import re

_LANES = "((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))"

#: A name with the parameters after ``x, at, step`` and before ``n``; then the statements.
_ROWS = """\
block()
  REALS lane[8];
  INT k, l;
  for (l = 0; l < 8; l++) lane[l] = -0.0;
  for (k = 0; k + 8 <= n; k += 8) for (l = 0; l < 8; l++) lane[l] += x[at + (k + l) * step];
  for (l = 0; k + l < n; l++) lane[l] += x[at + (k + l) * step];
  return LANES;
sum()
  REALS level[48];
  REAL total = 0;
  INT count = 0, found = 0, bits, done, j;
  if (n <= 1024) return n == 0 ? 0 : @block(x, at, step, n);
  for (j = 0; j < 48; j++) level[j] = 0;
  for (done = 0; done < n; done += 1024) {
    total = @block(x, at + done * step, step, n - done < 1024 ? n - done : 1024);
    for (j = 0, bits = count; bits % 2 == 1; j++, bits = (bits - 1) / 2) total = level[j] + total;
    level[j] = total;
    count++;
  }
  for (j = 0, bits = count; bits > 0; j++, bits = (bits - bits % 2) / 2) {
    if (bits % 2 == 1) {
      total = found ? level[j] + total : level[j];
      found = 1;
    }
  }
  return total;
mean()
  return @sum(x, at, step, n) / n;
dot(ARRAY y, INTEGER at_y, INTEGER step_y)
  REALS lane[8];
  REAL total = 0;
  INT first, size, k, l;
  for (first = 0; first < n; first += 128) {
    size = n - first < 128 ? n - first : 128;
    for (l = 0; l < 8; l++) lane[l] = 0;
    for (k = first; k + 8 <= first + size; k += 8)
      for (l = 0; l < 8; l++) lane[l] = FMA(x[at + (k + l) * step], y[at_y + (k + l) * step_y], lane[l]);
    for (l = 0; k + l < first + size; l++)
      lane[l] = FMA(x[at + (k + l) * step], y[at_y + (k + l) * step_y], lane[l]);
    total += LANES;
  }
  return total;
scalar(ARRAY y, INTEGER at_y, INTEGER step_y)
  WIDE total = 0;
  INT k;
  for (k = 0; k < n; k++) total += DOUBLE x[at + k * step] * y[at_y + k * step_y];
  return CLOSE total;
max()
  REAL largest = x[at];
  INT k;
  for (k = 1; k < n; k++) if (largest == largest && !(x[at + k * step] <= largest)) largest = x[at + k * step];
  return largest;
min()
  REAL smallest = x[at];
  INT k;
  for (k = 1; k < n; k++) if (smallest == smallest && !(x[at + k * step] >= smallest)) smallest = x[at + k * step];
  return smallest;
argmax()
  REAL largest = x[at];
  INT k, place = 0;
  for (k = 1; k < n; k++) {
    if (largest == largest && !(x[at + k * step] <= largest)) {
      largest = x[at + k * step];
      place = k;
    }
  }
  return place;
prod()
  REAL product = 1;
  INT k;
  for (k = 0; k < n; k++) product *= x[at + k * step];
  return product;
norm()
  REAL scale = 0;
  WIDE total = 0;
  INT k;
  for (k = 0; k < n; k++) if (!($fabs(x[at + k * step]) <= scale)) scale = $fabs(x[at + k * step]);
  if (scale == 0 || scale - scale != 0) scale = 1;
  for (k = 0; k < n; k++) total += (x[at + k * step] / DOUBLE scale) * (x[at + k * step] / DOUBLE scale);
  return CLOSE (WIDE_sqrt(total) * scale);
variance(A_REAL correction)
  WIDE total = 0, mean = 0;
  INT k;
  for (k = 0; k < n; k++) mean += x[at + k * step];
  mean /= n;
  for (k = 0; k < n; k++) total += (x[at + k * step] - mean) * (x[at + k * step] - mean);
  return CLOSE (total / (n > correction ? n - correction : 0));
shift()
  REAL largest = n == 0 ? -INFINITE : @max(x, at, step, n);
  return largest - largest == 0 ? largest : 0;
logsumexp()
  REAL shift = @shift(x, at, step, n);
  WIDE total = 0;
  INT k;
  for (k = 0; k < n; k++) total += $exp(x[at + k * step] - shift);
  return CLOSE (WIDE_log(total) + shift);
softmax(RESULT y, INTEGER at_y, INTEGER step_y)
  REAL largest = n == 0 ? 0 : @max(x, at, step, n);
  WIDE total = 0;
  INT k;
  for (k = 0; k < n; k++) {
    y[at_y + k * step_y] = x[at + k * step] == largest ? 1 : $exp(x[at + k * step] - largest);
    total += y[at_y + k * step_y];
  }
  for (k = 0; k < n; k++) y[at_y + k * step_y] = CLOSE (y[at_y + k * step_y] / total);
log_softmax(RESULT y, INTEGER at_y, INTEGER step_y)
  REAL largest = n == 0 ? 0 : @max(x, at, step, n);
  WIDE others = -1;
  INT k;
  for (k = 0; k < n; k++) others += x[at + k * step] == largest ? 1 : 0;
  for (k = 0; k < n; k++) if (x[at + k * step] != largest) others += $exp(x[at + k * step] - largest);
  for (k = 0; k < n; k++)
    y[at_y + k * step_y] =
        CLOSE ((x[at + k * step] == largest ? 0 : x[at + k * step] - largest) - WIDE_log1p(others));
cumsum(RESULT y, INTEGER at_y, INTEGER step_y)
  REAL total = 0;
  INT k;
  for (k = 0; k < n; k++) y[at_y + k * step_y] = total = total + x[at + k * step];
cumprod(RESULT y, INTEGER at_y, INTEGER step_y)
  REAL product = 1;
  INT k;
  for (k = 0; k < n; k++) y[at_y + k * step_y] = product = product * x[at + k * step];
recurrence(ARRAY z, INTEGER at_z, INTEGER step_z, RESULT y, INTEGER at_y, INTEGER step_y)
  REAL last = 0;
  INT k;
  for (k = 0; k < n; k++) y[at_y + k * step_y] = last = x[at + k * step] * last + z[at_z + k * step_z];
"""

#: By the name: those parameters, and the statements.
STRIPS: dict[str, tuple[str, str]] = {
    name: (f"{parameters}, " if parameters else "", statements.replace("LANES", _LANES))
    for name, parameters, statements in re.findall(r"(\w+)\((.*)\)\n((?:  .*\n)+)", _ROWS)
}
