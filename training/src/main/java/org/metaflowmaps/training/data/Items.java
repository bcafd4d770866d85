package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.function.Supplier;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/**
 * What an item of a data set is: how many there are, their shape and labels, and how one is read. A {@link Loader} makes shuffled
 * batches of them.
 *
 * <p>Items are numbered from 0. Methods give the same answer every time. Only {@link #count}, {@link #itemShape}, {@link #classes},
 * {@link #label} and {@link #read} must be written.
 */
public interface Items extends AutoCloseable {
    /** Returns the number of items, at least 1. */
    int count();

    /** Returns the shape of one item as the network sees it. */
    Shape itemShape();

    /** Returns the number of classes; 0 for none. */
    int classes();

    /** Returns the name of each class, a label being an index into it; empty if the classes have no names. */
    default List<String> classNames() {
        return List.of();
    }

    /**
     * Returns an item's class.
     *
     * @param index the item, from 0 to below {@link #count}
     * @return from 0 to below {@link #classes}, 0 without classes; -1 for an item that is damaged, whose {@link #read} throws
     */
    int label(int index);

    /** Returns whether items have weights of their own. */
    default boolean isWeighted() {
        return false;
    }

    /**
     * Returns what an item's loss is multiplied by; looked at only if {@link #isWeighted}.
     *
     * @param index the item, from 0 to below {@link #count}
     */
    default float weight(int index) {
        return 1;
    }

    /** Returns the type of the numbers that {@link #read} writes. Compact ones keep the copies to a GPU small. */
    default DType storedType() {
        return DType.FLOAT32;
    }

    /** Returns the shape of what {@link #read} writes. */
    default Shape storedShape() {
        return itemShape();
    }

    /**
     * Reads one item. Called from several threads at once, so it touches no tensor.
     *
     * @param index the item, from 0 to below {@link #count}
     * @param row where to write its numbers, row-major in native byte order: {@link #storedShape} of {@link #storedType}
     * @throws DamagedItemException if the item itself is unusable; another one takes its place if {@link Reading#skip} says so
     * @throws IOException if reading failed for another reason
     */
    void read(int index, MemorySegment row) throws IOException;

    /**
     * Makes items of what was read.
     *
     * @param stored (B, {@link #storedShape}) of {@link #storedType}, on the loader's device
     * @param noise gives (B, {@link #itemShape}) standard normal numbers that depend on the seed and the batch's place alone, on
     *     the loader's device, for items that are drawn from a distribution
     * @return (B, {@link #itemShape}) float32 on that device, in the innermost open scope
     */
    default Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        return stored;
    }

    /** Returns whether the loader reads all items at once and keeps them, as stored, in the device's memory. */
    default boolean isInMemory() {
        return false;
    }

    /**
     * Refuses to mirror items unless one reversed along the last dimension of {@link #storedShape} is an item too, as with images. By
     * default no items are mirrored.
     *
     * @throws IllegalArgumentException unless it is
     */
    default void requireMirrorable() {
        throw new IllegalArgumentException("these items cannot be mirrored, as only images can: expected flip false");
    }

    /**
     * Chooses the items to hold out: the same ones in every run, whatever its seed. By default each class gives its share.
     *
     * @param count how many, at least 1
     * @return their numbers, ascending
     * @throws IllegalArgumentException if too few would be left to train on
     */
    default int[] heldOut(int count) {
        return HoldOut.chosen(this, count, index -> Seeds.of(HoldOut.SEED, index));
    }

    /** Returns in one line what was found, for people; empty if there is nothing to say. */
    default String summary(int heldOut) {
        return "";
    }

    /** Closes the files. */
    @Override
    default void close() {}
}
