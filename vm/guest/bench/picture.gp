# SPDX-License-Identifier: GPL-2.0-only
#
# picture.gp: the ratios of the benchmark, a line a case, as SVG to stdout
#
# usage: gnuplot -e "data='FILE'" picture.gp
#
# Left of 1 hugedax takes less than stock. A case that a file system cannot
# play has no mark.

stats data using 0 nooutput name 'rows'
set terminal svg size 900, 60 + 17 * rows_records font 'sans-serif,11' background '#ffffff'
set title 'Instructions, hugedax / stock 6.12 (log scale; less is better)'
set datafile missing '?'
set logscale x
set xrange [0.001:2]
set xtics (0.001, 0.01, 0.1, 0.5, 1, 2)
set yrange [rows_records:-1]
set grid xtics ytics lc rgb '#dddddd'
set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb '#555555' lw 1.5
set key outside bottom center horizontal
set lmargin 30
plot data using 2:0:ytic(1) with points pt 6 ps 0.7 lc rgb '#1f77b4' title 'ext4, plain mkfs', \
     data using 3:0 with points pt 7 ps 0.7 lc rgb '#1f77b4' title 'ext4, aligned', \
     data using 4:0 with points pt 8 ps 0.7 lc rgb '#d62728' title 'XFS, plain mkfs', \
     data using 5:0 with points pt 9 ps 0.7 lc rgb '#d62728' title 'XFS, aligned'
