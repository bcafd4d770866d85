package org.metaflowmaps.training.data;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import org.metaflowmaps.models.checkpoint.LatentScaling;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.Shape;
import org.metaflowmaps.runtime.Tensor;

/**
 * A data set's items: their number, shape and labels, and how to read one. A {@link Loader} makes shuffled batches of
 * them.
 *
 * <p>Items are numbered from 0. Methods return the same result every time. Only {@link #count}, {@link #itemShape},
 * {@link #classes}, {@link #label} and {@link #read} must be implemented.
 */
public interface Items extends AutoCloseable {
    /** Returns the number of items, at least 1. */
    int count();

    /** Returns the shape of one item as the network's input. */
    Shape itemShape();

    /** Returns the number of classes; 0 for none. */
    int classes();

    /** Returns the class names, indexed by label; empty if the classes have no names. */
    default List<String> classNames() {
        return List.of();
    }

    /**
     * Returns an item's class.
     *
     * @param index the item, from 0 to below {@link #count}
     * @return from 0 to below {@link #classes}, 0 without classes; -1 for an item that is damaged, whose {@link #read}
     *     throws
     */
    int label(int index);

    /** Returns whether items have weights. */
    default boolean isWeighted() {
        return false;
    }

    /**
     * Returns the weight of an item's loss; used only if {@link #isWeighted}.
     *
     * @param index the item, from 0 to below {@link #count}
     */
    default float weight(int index) {
        return 1;
    }

    /** Returns the element type that {@link #read} writes. A compact type makes copies to a GPU small. */
    default DType storedType() {
        return DType.FLOAT32;
    }

    /** Returns the shape that {@link #read} writes. */
    default Shape storedShape() {
        return itemShape();
    }

    /**
     * Reads one item. Called from several threads at once; must not use tensors.
     *
     * @param index the item, from 0 to below {@link #count}
     * @param row where to write its numbers, row-major in native byte order: {@link #storedShape} of
     *     {@link #storedType}
     * @throws DamagedItemException if the item is unusable; another item replaces it if {@link Reading#skip} is true
     * @throws IOException if reading failed for another reason
     */
    void read(int index, MemorySegment row) throws IOException;

    /**
     * Makes items from stored values.
     *
     * @param stored (B, {@link #storedShape}) of {@link #storedType}, on the loader's device
     * @param noise returns (B, {@link #itemShape}) standard normal numbers on the loader's device that depend only on
     *     the seed and the batch's position; for items drawn from a distribution
     * @return (B, {@link #itemShape}) float32 on that device, in the innermost open scope
     */
    default Tensor decode(Tensor stored, Supplier<Tensor> noise) {
        return stored;
    }

    /** Returns whether the loader reads all items at once and keeps them as stored in the device's memory. */
    default boolean isInMemory() {
        return false;
    }

    /**
     * Mirrors stored values; used only if {@link #requireMirrorable} does not throw. By default along the last dimension.
     *
     * @param stored (B, {@link #storedShape}) of {@link #storedType}
     * @return values of that shape, in the innermost open scope
     */
    default Tensor mirrored(Tensor stored) {
        return stored.flip(stored.dim() - 1);
    }

    /** Returns how items follow from an autoencoder's latents; empty, the default, if they are no latents. */
    default Optional<LatentScaling> latents() {
        return Optional.empty();
    }

    /**
     * Throws unless items may be mirrored along the last dimension of {@link #storedShape}, as images may. The default
     * throws.
     *
     * @throws IllegalArgumentException unless items may be mirrored
     */
    default void requireMirrorable() {
        throw new IllegalArgumentException("these items cannot be mirrored, only images can: expected flip false");
    }

    /**
     * Chooses the items to hold out: the same for every seed. By default each class in proportion.
     *
     * @param count how many, at least 1
     * @return their numbers, ascending
     * @throws IllegalArgumentException if too few would remain for training
     */
    default int[] heldOut(int count) {
        return HoldOut.chosen(this, count, index -> Seeds.of(HoldOut.SEED, index));
    }

    /** Returns a one-line description for the user; may be empty. */
    default String summary(int heldOut) {
        return "";
    }

    /** Closes the files. */
    @Override
    default void close() {}
}
