package org.metaflowmaps.runtime.file;

import static org.metaflowmaps.runtime.internal.Texts.quote;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A file of PyTorch before 1.6, or of {@code torch.save(_use_new_zipfile_serialization=False)}: five pickles (a magic
 * number, the version, system information, the object, the storages' keys), then for each storage its number of
 * elements and its bytes.
 *
 * <p>Format: {@code _legacy_save} in PyTorch's torch/serialization.py.
 */
final class PyTorchLegacy implements PyTorchStorages {
    /** The magic number's pickle, without the prefix of protocols from 2 on. */
    private static final byte[] MAGIC = {
        (byte) 0x8a, 10, 0x6c, (byte) 0xfc, (byte) 0x9c, 0x46, (byte) 0xf9, 0x20, 0x6a, (byte) 0xa8, 0x50, 0x19, '.'
    };
    /** The same in protocols 0 and 1. */
    private static final byte[] DIGITS = "L119547037146038801333356L\n.".getBytes(StandardCharsets.US_ASCII);
    /** Bytes before the magic number: the protocol, and from protocol 4 on the length of a frame. */
    private static final int PROTOCOL = 2;

    private static final int FRAMED = PROTOCOL + 1 + Long.BYTES;
    private static final long VERSION = 1001;
    private static final ValueLayout.OfLong COUNT = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Map<String, long[]> ranges = new HashMap<>();
    private @Nullable Object root;

    private PyTorchLegacy() {}

    /** Returns true if a file begins like this format. */
    static boolean begins(MemorySegment whole) {
        return first(whole) > 0;
    }

    /** Returns the offset of the second pickle; 0 if the first is not the magic number. */
    private static long first(MemorySegment whole) {
        boolean tagged = whole.byteSize() > 1 && whole.get(ValueLayout.JAVA_BYTE, 0) == (byte) 0x80;
        return !tagged ? end(whole, 0, DIGITS) : Math.max(end(whole, PROTOCOL, MAGIC), end(whole, FRAMED, MAGIC));
    }

    private static long end(MemorySegment whole, long at, byte[] text) {
        return whole.byteSize() >= at + text.length
                        && MemorySegment.mismatch(
                                        whole, at, at + text.length, MemorySegment.ofArray(text), 0, text.length)
                                < 0
                ? at + text.length
                : 0;
    }

    static PyTorchLegacy read(String file, MemorySegment whole, PyTorchObjects objects) throws PyTorchException {
        PyTorchLegacy legacy = new PyTorchLegacy();
        Pickle.Result version = Pickle.read(file, whole, first(whole), objects);
        if (!Long.valueOf(VERSION).equals(version.value())) {
            throw new PyTorchException(
                    file, "the format's version is " + Pickle.kind(version.value()), String.valueOf(VERSION));
        }
        Pickle.Result machine = Pickle.read(file, whole, version.end(), objects);
        if (machine.value() instanceof Map<?, ?> facts && Boolean.FALSE.equals(facts.get("little_endian"))) {
            throw new PyTorchException(
                    file,
                    "the numbers are not in little-endian order",
                    "a file written on a little-endian machine: load it there with torch.load and save it again with"
                            + " torch.save");
        }
        Pickle.Result value = Pickle.read(file, whole, machine.end(), objects);
        legacy.root = value.value();
        Pickle.Result keys = Pickle.read(file, whole, value.end(), objects);
        if (!(keys.value() instanceof List<?> list)) {
            throw new PyTorchException(file, "the storages' keys are " + Pickle.kind(keys.value()), "a list");
        }
        long at = keys.end();
        for (Object key : list) {
            PyTorchObjects.Storage storage = objects.storagesByKey().get(String.valueOf(key));
            if (storage == null) {
                throw new PyTorchException(
                        file, "no tensor uses storage " + quote(String.valueOf(key)), "storages of tensors only");
            }
            long elements = at <= whole.byteSize() - Long.BYTES ? whole.get(COUNT, at) : -1;
            at += Long.BYTES;
            if (elements != storage.whole() || elements > (whole.byteSize() - at) / storage.width()) {
                throw new PyTorchException(
                        file,
                        "storage " + quote(String.valueOf(key)) + " has " + elements + " elements at byte " + at
                                + " of " + whole.byteSize(),
                        storage.whole() + " elements of " + storage.width()
                                + " bytes: the file is damaged or truncated, fetch it again");
            }
            legacy.ranges.put(String.valueOf(key), new long[] {at, elements * storage.width()});
            at += elements * storage.width();
        }
        return legacy;
    }

    @Nullable
    Object root() {
        return root;
    }

    @Override
    public long begin(String key) {
        long[] range = ranges.get(key);
        return range == null ? -1 : range[0];
    }

    @Override
    public long size(String key) {
        long[] range = ranges.get(key);
        return range == null ? -1 : range[1];
    }
}
