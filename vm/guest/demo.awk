# SPDX-License-Identifier: GPL-2.0-only
#
# demo.awk - the rows of vm/guest/demo.c as a table, and the verdict
#
# usage: awk -F '\t' -f demo.awk HUGEDAX.tsv STOCK.tsv
#
# STOCK.tsv may be empty. Exit status 1 when something is missing or wrong.

BEGIN {
	title["kind"] = "Each kind of entry (8 MiB page by page; empty: one page)"
	title["rule"] = "Found, asked: what the fault did"
	title["fallback"] = "2M asked, 4K got, because of"
	title["file"] = "Files read, written, synced, truncated"
}

FNR == 1 { input++ }

NF < 6 { next }

input == 1 {
	row = $2 FS $3
	if (!(row in known)) {
		known[row] = 1
		rows[++nr_rows] = row
	}
	if (!($1 in is_fs)) {
		is_fs[$1] = 1
		fs[++nr_fs] = $1
	}
	faults[$1, row] = $4
	size[$1, row] = $5
	verdict[$1, row] = $6
	detail[$1, row] = $7
	next
}

{
	stock = 1
	row = $2 FS $3
	stock_faults[$1, row] = $4
	stock_size[$1, row] = $5
	stock_wrong[$1, row] = $6 == "WRONG" ? $7 : ""
}

# A line of at most 80 columns; what does not fit goes on in the next ones.
function fold(text, indent,	line, word, n, i)
{
	n = split(text, word, " ")
	line = indent word[1]
	for (i = 2; i <= n; i++) {
		if (length(line " " word[i]) > 80) {
			print line
			line = indent "  " word[i]
		} else {
			line = line " " word[i]
		}
	}
	print line
}

function print_table(	i, j, part, section, v)
{
	printf "%-30s", ""
	for (j = 1; j <= nr_fs; j++)
		printf " %-22s", "  " fs[j]
	printf "\n%-30s", ""
	for (j = 1; j <= nr_fs; j++)
		printf " %6s %-6s %-8s", "faults", "size", "verdict"
	printf "\n"
	for (i = 1; i <= nr_rows; i++) {
		split(rows[i], part, FS)
		if (part[1] != section) {
			section = part[1]
			print title[section]
		}
		printf "  %-28s", part[2]
		for (j = 1; j <= nr_fs; j++) {
			v = verdict[fs[j], rows[i]]
			if (v == "")
				v = "NOT SEEN"
			asked++
			seen += v == "seen"
			printf " %6s %-6s %s%-8s%s", faults[fs[j], rows[i]],
			       size[fs[j], rows[i]], v == "seen" ? "" : bad, v,
			       v == "seen" ? "" : off
		}
		printf "\n"
	}
}

function print_complaints(	i, j)
{
	if (seen < asked)
		print "\nNot as expected:"
	for (i = 1; i <= nr_rows; i++)
		for (j = 1; j <= nr_fs; j++)
			if (verdict[fs[j], rows[i]] != "seen")
				fold(fs[j] ", " substr(rows[i], index(rows[i], FS) + 1) \
				     ": " detail[fs[j], rows[i]], "  ")
}

function differs(k)
{
	if (stock_wrong[k] != "")
		return 1
	if (stock_size[k] != size[k])
		return 1
	return faults[k] !~ /^~/ && stock_faults[k] != faults[k]
}

function print_stock(	i, j, k, n, alike, line)
{
	for (i = 1; i <= nr_rows; i++)
		for (j = 1; j <= nr_fs; j++) {
			k = fs[j] SUBSEP rows[i]
			if (!(k in stock_size))
				continue
			if (!differs(k)) {
				alike++
				continue
			}
			line[++n] = sprintf("  %-28s %-5s %6s %-7s %6s %-7s",
				substr(rows[i], index(rows[i], FS) + 1), fs[j],
				faults[k], size[k],
				stock_faults[k], stock_size[k])
			if (stock_wrong[k] != "" && stock_size[k] == size[k])
				line[n] = line[n] "\n      stock: " stock_wrong[k]
		}
	printf "\nStock kernel, same source and configuration: %d rows alike", alike
	if (!n) {
		print "."
		return
	}
	printf ", %d not:\n", n
	printf "  %-28s %-5s %-15s %-15s\n", "", "", "hugedax", "stock"
	for (i = 1; i <= n; i++)
		print line[i]
}

END {
	print_table()
	print_complaints()
	if (stock)
		print_stock()
	if (!asked) {
		print bad "demo: no row was played" off
		exit 1
	}
	printf "\n"
	if (seen < asked) {
		printf "%sdemo FAILED: %d of %d not seen or wrong%s\n", bad,
		       asked - seen, asked, off
		exit 1
	}
	printf "demo ok: %d of %d seen, on %d filesystems\n", seen, asked, nr_fs
}
