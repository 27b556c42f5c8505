/* Counts the words of all texts in a directory and writes a report.
 *
 *     tally DIRECTORY REPORT
 *
 * Plain C and POSIX; nothing in here knows of WebAssembly. A word is a run of ASCII letters, digits, apostrophes inside of it, and bytes
 * of other UTF-8 characters. Case counts for ASCII letters only. */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    WORD_MAX = 64,    /* longer words are cut */
    LENGTHS = 12,     /* the last row of the histogram is for all longer words */
    TOP = 10,         /* rows of the table of words */
    BAR = 40,         /* columns of the longest bar */
    PATH_LEN = 1024,
};

struct word {
    struct word *next;
    unsigned long count;
    unsigned length;
    char text[];
};

struct table {
    struct word **slots;
    size_t capacity, words;
    unsigned long total, bytes, lines, files;
};

static void die(const char *what, const char *which) {
    fprintf(stderr, "tally: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

static void *need(void *memory) {
    if (!memory)
        die("memory", "for words");
    return memory;
}

static size_t hash(const char *text, size_t length) {
    size_t h = 2166136261u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)text[i]) * 16777619u;
    return h;
}

static void grow(struct table *t) {
    size_t capacity = t->capacity ? t->capacity * 2 : 1024;
    struct word **slots = need(calloc(capacity, sizeof *slots));
    for (size_t i = 0; i < t->capacity; i++) {
        for (struct word *w = t->slots[i], *next; w; w = next) {
            size_t at = hash(w->text, strlen(w->text)) & (capacity - 1);
            next = w->next;
            w->next = slots[at];
            slots[at] = w;
        }
    }
    free(t->slots);
    t->slots = slots;
    t->capacity = capacity;
}

static void count(struct table *t, const char *text, size_t length, unsigned characters) {
    if (t->words >= t->capacity)
        grow(t);
    t->total++;
    struct word **slot = &t->slots[hash(text, length) & (t->capacity - 1)];
    for (struct word *w = *slot; w; w = w->next) {
        if (strlen(w->text) == length && memcmp(w->text, text, length) == 0) {
            w->count++;
            return;
        }
    }
    struct word *w = need(malloc(sizeof *w + length + 1));
    *w = (struct word){.next = *slot, .count = 1, .length = characters};
    memcpy(w->text, text, length);
    w->text[length] = 0;
    *slot = w;
    t->words++;
}

static int lower(int c) { return c >= 'A' && c <= 'Z' ? c + 'a' - 'A' : c; }

static int in_word(int c) { return c >= 0x80 || (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z'); }

static void read_text(struct table *t, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file)
        die("cannot open", path);
    char word[WORD_MAX];
    size_t length = 0;
    unsigned characters = 0;
    int c, last = '\n';
    do {
        c = getc(file);
        t->bytes += c != EOF;
        t->lines += c == '\n' || (c == EOF && last != '\n');
        if (c != EOF && (in_word(c) || (c == '\'' && length > 0))) {
            if (length < WORD_MAX)
                word[length++] = (char)lower(c);
            characters += (c & 0xc0) != 0x80;
        } else if (length > 0) {
            while (word[length - 1] == '\'')
                length--, characters--;
            count(t, word, length, characters);
            length = characters = 0;
        }
        last = c;
    } while (c != EOF);
    if (ferror(file))
        die("cannot read", path);
    fclose(file);
    t->files++;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Reads the regular files of a directory, but hidden ones, in order of their names, and prints a line for each. */
static void read_directory(struct table *t, const char *directory) {
    DIR *dir = opendir(directory);
    if (!dir)
        die("cannot open", directory);
    char **names = NULL;
    size_t files = 0;
    for (struct dirent *entry; (errno = 0, entry = readdir(dir));) {
        char path[PATH_LEN];
        struct stat st;
        if (entry->d_name[0] == '.')
            continue;
        if (snprintf(path, sizeof path, "%s/%s", directory, entry->d_name) >= (int)sizeof path)
            continue;
        if (stat(path, &st) != 0)
            die("cannot look at", path);
        if (!S_ISREG(st.st_mode))
            continue;
        names = need(realloc(names, (files + 1) * sizeof *names));
        names[files++] = need(strdup(path));
    }
    if (errno)
        die("cannot list", directory);
    closedir(dir);
    qsort(names, files, sizeof *names, by_name);
    for (size_t i = 0; i < files; i++) {
        unsigned long before = t->total;
        read_text(t, names[i]);
        printf("%s: %lu words\n", names[i], t->total - before);
        free(names[i]);
    }
    free(names);
}

static int by_count(const void *a, const void *b) {
    const struct word *v = *(struct word *const *)a, *w = *(struct word *const *)b;
    return v->count != w->count ? (v->count < w->count ? 1 : -1) : strcmp(v->text, w->text);
}

/* Ends a row with a bar; nothing for nothing. */
static void bar(FILE *out, unsigned long value, unsigned long most) {
    if (value > 0)
        fputs("  ", out);
    for (unsigned long n = most ? (value * BAR + most - 1) / most : 0; n > 0; n--)
        putc('#', out);
    putc('\n', out);
}

static void report(const struct table *t, FILE *out) {
    struct word **words = need(malloc((t->words + 1) * sizeof *words));
    unsigned long lengths[LENGTHS + 1] = {0}, most = 0;
    size_t n = 0;
    for (size_t i = 0; i < t->capacity; i++) {
        for (struct word *w = t->slots[i]; w; w = w->next) {
            words[n++] = w;
            lengths[w->length < LENGTHS ? w->length : LENGTHS] += w->count;
        }
    }
    qsort(words, n, sizeof *words, by_count);
    fprintf(out, "%lu files, %lu bytes, %lu lines\n%lu words, %zu different\n\n", t->files, t->bytes, t->lines, t->total, n);
    for (size_t i = 0; i < n && i < TOP; i++) {
        fprintf(out, "%-14s %6lu", words[i]->text, words[i]->count);
        bar(out, words[i]->count, words[0]->count);
    }
    fprintf(out, "\n");
    for (int i = 1; i <= LENGTHS; i++)
        most = lengths[i] > most ? lengths[i] : most;
    for (int i = 1; i <= LENGTHS; i++) {
        fprintf(out, "%2d%-12s %6lu", i, i == 1 ? " letter" : i == LENGTHS ? " and more" : " letters", lengths[i]);
        bar(out, lengths[i], most);
    }
    free(words);
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: tally DIRECTORY REPORT\n");
        return 1;
    }
    struct table t = {0};
    read_directory(&t, argv[1]);
    if (t.files == 0) {
        fprintf(stderr, "tally: there are no files in %s\n", argv[1]);
        return 1;
    }
    FILE *out = fopen(argv[2], "w");
    if (!out)
        die("cannot make", argv[2]);
    report(&t, out);
    if (fclose(out) != 0)
        die("cannot write", argv[2]);
    printf("%lu words in %lu files, see %s\n", t.total, t.files, argv[2]);
    return 0;
}
