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
	title["promote"] = "4K there, made 2M: promotion"
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

# Without the blanks that fill up the last column.
function put(line)
{
	sub(/ +$/, "", line)
	print line
}

function print_table(	i, j, part, section, v, line)
{
	line = sprintf("%-30s", "")
	for (j = 1; j <= nr_fs; j++)
		line = line sprintf(" %-22s", "  " fs[j])
	put(line)
	line = sprintf("%-30s", "")
	for (j = 1; j <= nr_fs; j++)
		line = line sprintf(" %6s %-6s %-8s", "faults", "size", "verdict")
	put(line)
	for (i = 1; i <= nr_rows; i++) {
		split(rows[i], part, FS)
		if (part[1] != section) {
			section = part[1]
			print title[section]
		}
		line = sprintf("  %-28s", part[2])
		for (j = 1; j <= nr_fs; j++) {
			v = verdict[fs[j], rows[i]]
			if (v == "")
				v = "NOT SEEN"
			asked++
			seen += v == "seen"
			line = line sprintf(" %6s %-6s %s%-8s%s",
					    faults[fs[j], rows[i]],
					    size[fs[j], rows[i]],
					    v == "seen" ? "" : bad, v,
					    v == "seen" ? "" : off)
		}
		put(line)
	}
	print "size: what a mapping is made of; of two, the older one first"
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
				line[n] = line[n] "\n      stock: " substr(stock_wrong[k], 1, 66)
		}
	print "\nStock, of the same source and configuration, has no events for entries."
	printf "Faults and sizes: %d rows alike, %d not.\n", alike, n
	if (!n)
		return
	printf "  %-28s %-5s %-15s %-15s\n", "", "", "hugedax", "stock"
	for (i = 1; i <= n; i++)
		put(line[i])
}

END {
	print_table()
	print_complaints()
	if (stock)
		print_stock()
	if (!asked) {
		print bad "demo: no row was run" off
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
