package org.metaflowmaps.training.data;

import com.google.common.base.Preconditions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Chooses held-out items: the same for every seed, with each class in proportion.
 *
 * <p>Class c with n_c of n items provides k · n_c / n of the k held-out items; the rest after rounding goes to the
 * largest remainders, the first of equal ones. Every class keeps at least one item for training. Within a class the
 * items with the smallest keys are held out.
 */
final class HoldOut {
    /** The seed of held-out items' choice and noise; the same in every run. */
    static final long SEED = 0x68656c64L;

    private final int[] trained;
    private final int[] held;

    private HoldOut(int[] trained, int[] held) {
        this.trained = trained;
        this.held = held;
    }

    /** Holds out the items that a data set chooses. */
    static HoldOut of(Items items, int count) {
        int all = items.count();
        Preconditions.checkArgument(all >= 1, "a data set of %s items, expected at least 1", all);
        int[] held = count == 0 ? new int[0] : items.heldOut(count);
        boolean[] out = new boolean[all];
        for (int item : held) {
            Preconditions.checkArgument(
                    item >= 0 && item < all && !out[item],
                    "item %s is held out, expected different ones of the %s there are",
                    item,
                    all);
            out[item] = true;
        }
        Preconditions.checkArgument(
                held.length < all, "all %s items are held out, expected at least one to train on", all);
        return new HoldOut(IntStream.range(0, all).filter(item -> !out[item]).toArray(), held);
    }

    /** Keeps only every {@code count}th training item, starting at {@code index}. */
    HoldOut shard(int index, int count) {
        return new HoldOut(
                IntStream.range(0, trained.length)
                        .filter(at -> at % count == index)
                        .map(at -> trained[at])
                        .toArray(),
                held);
    }

    /** A key of an item; the same in every run. */
    interface Key {
        long of(int item);
    }

    /**
     * Chooses held-out items with each class in proportion; items whose label is negative are never chosen.
     *
     * @param count items to hold out
     * @return their numbers, ascending
     * @throws IllegalArgumentException if fewer than one item of each class would be left to train on
     */
    static int[] chosen(Items set, int count, Key key) {
        Preconditions.checkArgument(count >= 0, "%s items held out, expected 0 or more", count);
        int[] labels = IntStream.range(0, set.count()).map(set::label).toArray();
        int classes = Math.max(1, set.classes());
        // Do not allocate by the number of classes, which may be larger than the number of labels.
        int[] sizes = new int[Math.min(classes, Arrays.stream(labels).max().orElse(0) + 1)];
        int all = 0;
        for (int label : labels) {
            if (label >= 0) {
                sizes[label]++;
                all++;
            }
        }
        int[] quotas = quotas(sizes, all, count);
        List<List<Integer>> items = new ArrayList<>();
        IntStream.range(0, sizes.length).forEach(label -> items.add(new ArrayList<>()));
        IntStream.range(0, labels.length)
                .filter(item -> labels[item] >= 0)
                .forEach(item -> items.get(labels[item]).add(item));
        boolean[] out = new boolean[labels.length];
        for (int label = 0; label < sizes.length; label++) {
            items.get(label).sort(Comparator.comparingLong(key::of));
            items.get(label).subList(0, quotas[label]).forEach(item -> out[item] = true);
        }
        return IntStream.range(0, out.length).filter(item -> out[item]).toArray();
    }

    private static int[] quotas(int[] sizes, int all, int count) {
        int most = Arrays.stream(sizes).map(size -> Math.max(0, size - 1)).sum();
        Preconditions.checkArgument(
                count <= most,
                "config: data.hold_out is %s, expected at most %s: each class of the %s items keeps one for training",
                count,
                most,
                all);
        int[] quotas = new int[sizes.length];
        for (int label = 0; label < sizes.length; label++) {
            quotas[label] = (int) ((long) count * sizes[label] / all);
        }
        int[] byRemainder = IntStream.range(0, sizes.length)
                .boxed()
                .sorted(Comparator.comparingLong(label -> -((long) count * sizes[label] % all)))
                .mapToInt(Integer::intValue)
                .toArray();
        int left = count - Arrays.stream(quotas).sum();
        for (int i = 0; left > 0; i = (i + 1) % byRemainder.length) {
            if (quotas[byRemainder[i]] < sizes[byRemainder[i]] - 1) {
                quotas[byRemainder[i]]++;
                left--;
            }
        }
        return quotas;
    }

    /** Returns the training items, ascending; do not modify. */
    int[] trained() {
        return trained;
    }

    /** Returns the held-out items; do not modify. */
    int[] held() {
        return held;
    }

    /** Returns the held-out items of a range. */
    int[] held(int from, int count) {
        Preconditions.checkArgument(
                from >= 0 && count > 0 && (long) from + count <= held.length,
                "held-out items %s to %s, expected some of the %s there are",
                from,
                (long) from + count,
                held.length);
        return Arrays.copyOfRange(held, from, from + count);
    }
}
