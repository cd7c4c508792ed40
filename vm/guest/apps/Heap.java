// SPDX-License-Identifier: GPL-2.0-only

import java.util.Random;

/**
 * Heap MIB: keeps that many MiB of arrays alive, and replaces each of them three times,
 * so that the collector copies and frees them. Each array is checked before it is dropped.
 */
public class Heap {
    static final int LENGTH = 16 << 10;

    static long[] make(long key) {
        long[] data = new long[LENGTH / Long.BYTES];
        for (int i = 0; i < data.length; i++)
            data[i] = key * 31 + i;
        return data;
    }

    static void check(long[] data, long key) {
        for (int i = 0; i < data.length; i++)
            if (data[i] != key * 31 + i)
                throw new IllegalStateException("array " + key + " has wrong data");
    }

    public static void main(String[] args) {
        int number = Integer.parseInt(args[0]) * (1 << 20) / LENGTH;
        long[][] arrays = new long[number][];
        long[] keys = new long[number];
        Random random = new Random(1);

        for (int step = 0; step < 4 * number; step++) {
            int which = step < number ? step : random.nextInt(number);
            if (arrays[which] != null)
                check(arrays[which], keys[which]);
            keys[which] = step;
            arrays[which] = make(step);
        }
        System.gc();
        for (int i = 0; i < number; i++)
            check(arrays[i], keys[i]);
    }
}
