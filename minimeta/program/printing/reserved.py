"""Names that a function cannot have, because the language or its library has given them a meaning.

In C these are the keywords, every function of the standard library, even one whose header is not
included (C99, section 7.1.3), and what ``<math.h>`` and ``<stdint.h>`` define, in GNU's dialect too.
Neither language lets a file define one name twice, so the functions on strips are among them.
"""

from __future__ import annotations

import re

from minimeta.program.printing.strips import STRIPS

_KEYWORDS = """auto break case char const continue default do double else enum extern float for goto if inline int
long register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
main asm typeof linux unix"""

# Each also for float and for long double: `sin`, `sinf`, `sinl`.
_MATHEMATICS = """acos acosh asin asinh atan atan2 atanh cabs cacos cacosh carg casin casinh catan catanh cbrt ccos
ccosh ceil cexp cimag clog conj copysign cos cosh cpow cproj creal csin csinh csqrt ctan ctanh drem erf erfc exp exp10
exp2 expm1 fabs fdim finite floor fma fmax fmin fmod frexp gamma hypot ilogb isinf isnan j0 j1 jn ldexp lgamma llrint
llround log log10 log1p log2 logb lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo rint round
scalb scalbln scalbn significand sin sinh sqrt tan tanh tgamma trunc y0 y1 yn"""

_LIBRARY = """abort abs asctime assert atexit atof atoi atol atoll bsearch btowc calloc clearerr clock ctime difftime
div errno exit fclose feclearexcept fegetenv fegetexceptflag fegetround feholdexcept feof feraiseexcept ferror fesetenv
fesetexceptflag fesetround fetestexcept feupdateenv fflush fgetc fgetpos fgets fgetwc fgetws fopen fpclassify fprintf
fputc fputs fputwc fputws fread free freopen fscanf fseek fsetpos ftell fwide fwprintf fwrite fwscanf getc getchar
getenv gets getwc getwchar gmtime imaxabs imaxdiv isalnum isalpha isblank iscntrl isdigit isfinite isgraph isgreater
isgreaterequal isless islessequal islessgreater islower isnormal isprint ispunct isspace isunordered isupper iswalnum
iswalpha iswblank iswcntrl iswctype iswdigit iswgraph iswlower iswprint iswpunct iswspace iswupper iswxdigit isxdigit
labs ldiv lgamma_r lgammaf_r lgammal_r llabs lldiv localeconv localtime longjmp malloc mblen mbrlen mbrtowc mbsinit
mbsrtowcs mbstowcs mbtowc memchr memcmp memcpy memmove memset mktime perror printf putc putchar puts putwc putwchar
qsort raise rand realloc remove rename rewind scanf setbuf setjmp setlocale setvbuf signal signbit snprintf sprintf
srand sscanf strcat strchr strcmp strcoll strcpy strcspn strerror strftime strlen strncat strncmp strncpy strpbrk
strrchr strspn strstr strtod strtof strtoimax strtok strtol strtold strtoll strtoul strtoull strtoumax strxfrm swprintf
swscanf system time tmpfile tmpnam tolower toupper towctrans towlower towupper ungetc ungetwc va_arg va_copy va_end
va_start vfprintf vfscanf vfwprintf vfwscanf vprintf vscanf vsnprintf vsprintf vsscanf vswprintf vswscanf vwprintf
vwscanf wcrtomb wcscat wcschr wcscmp wcscoll wcscpy wcscspn wcsftime wcslen wcsncat wcsncmp wcsncpy wcspbrk wcsrchr
wcsrtombs wcsspn wcsstr wcstod wcstof wcstoimax wcstok wcstol wcstold wcstoll wcstombs wcstoul wcstoull wcstoumax
wcsxfrm wctob wctomb wctrans wctype wmemchr wmemcmp wmemcpy wmemmove wmemset wprintf wscanf"""

_JAVASCRIPT = """arguments await break case catch class const continue debugger default delete do else enum
eval export extends false finally for function if implements import in instanceof interface let new null package private
protected public return static super switch this throw true try typeof undefined var void while with yield
Infinity Math NaN RangeError"""


def _alternatives(*names: str) -> str:
    return "|".join(" ".join(names).split())


_STRIP = rf"({'|'.join(STRIPS)})_(float|u?int|bool)\d*"

C = re.compile(
    rf"{_alternatives(_KEYWORDS, _LIBRARY)}|({_alternatives(_MATHEMATICS)})[fl]?|{_STRIP}|FMA_(float|double)"
    r"|(u?int\w*|float|double)_t|U?INT\w*_C|[A-Z]+\w*_(MAX|MIN|WIDTH)|(FP|M|MATH)_\w+|math_errhandling"
    r"|HUGE_VAL\w*|S?NANF?|INFINITY"
)
JAVASCRIPT = re.compile(rf"{_alternatives(_JAVASCRIPT)}|{_STRIP}|(Float|Int|Uint)\d+Array")
