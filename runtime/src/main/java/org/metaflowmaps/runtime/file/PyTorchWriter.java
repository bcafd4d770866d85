package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.MemorySegment;
import java.nio.channels.SeekableByteChannel;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import net.razorvine.pickle.IObjectPickler;
import net.razorvine.pickle.Opcodes;
import net.razorvine.pickle.Pickler;
import org.apache.commons.compress.archivers.zip.ZipArchiveEntry;
import org.apache.commons.compress.archivers.zip.ZipArchiveOutputStream;
import org.apache.commons.io.channels.CloseShieldChannel;
import org.metaflowmaps.runtime.DType;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * Writes a dict of tensors like {@code torch.save}, atomically; {@code torch.load(weights_only=True)} reads it.
 *
 * <p>Tensors named {@code ema.x} are written as {@code x} in an inner dict named {@code ema}, as in training
 * checkpoints, which hold their averaged weights there. {@link PyTorchFile} reads them under their full names.
 *
 * <p>Every tensor has its own storage, without compression and aligned to 64 bytes, as in PyTorch's files. Equal
 * content makes equal files. Bytes are streamed; no second copy of the tensors is made.
 *
 * <p>Format: https://docs.pytorch.org/docs/stable/notes/serialization.html.
 */
public final class PyTorchWriter {
    private static final int ALIGNMENT = 64;
    private static final int BLOCK = 1 << 20;
    private static final String ROOT = "archive/";
    private static final String AVERAGED = "ema";
    /** The time of every entry: constant, and late enough for the archive's short time format. */
    private static final LocalDateTime EARLY = LocalDateTime.of(1980, 2, 1, 0, 0);

    private PyTorchWriter() {}

    /**
     * Writes a file; see {@link AtomicFile} for what happens on failure.
     *
     * @param target the file; missing parent folders are created, an old file of that name is replaced at the end
     * @param tensors the dict, in this order
     * @throws IllegalArgumentException if a name occurs twice, or a tensor has the name of a dict of others
     * @throws IOException if the file could not be written; the old one is then untouched
     */
    public static void write(Path target, List<? extends OutgoingTensor> tensors) throws IOException {
        write(target, Map.of(), tensors);
    }

    /**
     * Writes a file with texts that a {@link PyTorchFile} returns as its metadata.
     *
     * <p>With texts the dict is an {@code OrderedDict}, as PyTorch's state dicts are, and the texts are its attribute
     * {@code _mfm}, which {@code load_state_dict} ignores.
     *
     * @param target as for {@link #write(Path, List)}
     * @param metadata texts by key
     * @param tensors the dict, in this order
     * @throws IllegalArgumentException as for {@link #write(Path, List)}
     * @throws IOException as for {@link #write(Path, List)}
     */
    public static void write(Path target, Map<String, String> metadata, List<? extends OutgoingTensor> tensors)
            throws IOException {
        byte[] pickle = pickle(metadata, tensors);
        long total = tensors.stream().mapToLong(OutgoingTensor::byteSize).reduce(pickle.length, Math::addExact);
        AtomicFile.write(target, total, channel -> {
            SeekableByteChannel ours = CloseShieldChannel.<SeekableByteChannel>wrap(channel);
            try (ZipArchiveOutputStream zip = new ZipArchiveOutputStream(ours)) {
                zip.setMethod(ZipArchiveOutputStream.STORED);
                record(zip, "data.pkl", pickle);
                record(zip, "byteorder", "little".getBytes(US_ASCII));
                byte[] block = new byte[BLOCK];
                for (int i = 0; i < tensors.size(); i++) {
                    begin(zip, "data/" + i, tensors.get(i).byteSize());
                    tensors.get(i).read(bytes -> stream(bytes, block, zip));
                    zip.closeArchiveEntry();
                }
                record(zip, "version", "3\n".getBytes(US_ASCII));
            }
        });
    }

    private static void record(ZipArchiveOutputStream zip, String name, byte[] content) throws IOException {
        begin(zip, name, content.length);
        zip.write(content);
        zip.closeArchiveEntry();
    }

    private static void begin(ZipArchiveOutputStream zip, String name, long size) throws IOException {
        ZipArchiveEntry entry = new ZipArchiveEntry(ROOT + name);
        entry.setSize(size);
        entry.setAlignment(ALIGNMENT);
        entry.setTimeLocal(EARLY);
        zip.putArchiveEntry(entry);
    }

    /** Copies through an array, because the archive accepts only arrays. */
    private static void stream(MemorySegment from, byte[] block, ZipArchiveOutputStream to) throws IOException {
        for (long done = 0; done < from.byteSize(); ) {
            int count = (int) Math.min(block.length, from.byteSize() - done);
            MemorySegment.copy(from, done, MemorySegment.ofArray(block), 0, count);
            to.write(block, 0, count);
            done += count;
        }
    }

    /** Returns the pickle of the dict; each tensor is described by the call that rebuilds it. */
    private static byte[] pickle(Map<String, String> metadata, List<? extends OutgoingTensor> tensors)
            throws IOException {
        Map<String, Object> dict = new LinkedHashMap<>();
        Map<String, Object> averaged = new LinkedHashMap<>();
        Set<String> names = new HashSet<>();
        for (OutgoingTensor tensor : tensors) {
            if (!names.add(tensor.name())) {
                throw new IllegalArgumentException(
                        "two tensors are named " + Texts.quote(tensor.name()) + ": give each its own name");
            }
            long elements = tensor.byteSize() / tensor.dtype().bytes();
            Storage storage = new Storage(tensor.dtype(), Integer.toString(names.size() - 1), elements);
            Object hooks = new Call(new Global("collections", "OrderedDict"), List.of());
            Call rebuilt = new Call(
                    new Global("torch._utils", "_rebuild_tensor_v2"),
                    List.of(
                            storage,
                            0,
                            boxed(tensor.shape().toArray()),
                            boxed(tensor.shape().strides()),
                            false,
                            hooks));
            if (tensor.name().startsWith(AVERAGED + ".")) {
                averaged.put(tensor.name().substring(AVERAGED.length() + 1), rebuilt);
                dict.put(AVERAGED, averaged);
            } else {
                dict.put(tensor.name(), rebuilt);
            }
        }
        if (!averaged.isEmpty() && names.contains(AVERAGED)) {
            throw new IllegalArgumentException("a tensor is named '" + AVERAGED + "' and others '" + AVERAGED
                    + ".…', which are in a dict of that name: rename it");
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        new Description()
                .dump(
                        metadata.isEmpty()
                                ? dict
                                : new Ordered(dict, Map.of(PyTorchFile.TEXTS, new TreeMap<>(metadata))),
                        out);
        return out.toByteArray();
    }

    private static Object[] boxed(long[] numbers) {
        return Arrays.stream(numbers).boxed().toArray();
    }

    /** A Python name. */
    private record Global(String module, String name) {}

    /** A call of a function by that name. */
    private record Call(Global function, List<?> arguments) {}

    /** An OrderedDict with attributes. */
    private record Ordered(Map<String, Object> items, Map<String, Object> attributes) {}

    /** A storage; the pickle holds only a reference to it. */
    private record Storage(DType dtype, String key, long elements) {}

    /** A pickler for these classes; without a memo, because its order would not be deterministic. */
    private static final class Description extends Pickler {
        Description() {
            super(false);
        }

        @Override
        protected IObjectPickler getCustomPickler(Class<?> type) {
            return type == Global.class
                    ? Description::global
                    : type == Call.class
                            ? Description::call
                            : type == Ordered.class ? Description::ordered : super.getCustomPickler(type);
        }

        private static void global(Object value, OutputStream out, Pickler pickler) throws IOException {
            Global global = (Global) value;
            out.write(Opcodes.GLOBAL);
            out.write((global.module + "\n" + global.name + "\n").getBytes(US_ASCII));
        }

        private static void call(Object value, OutputStream out, Pickler pickler) throws IOException {
            Call call = (Call) value;
            pickler.save(call.function);
            pickler.save(call.arguments.toArray());
            out.write(Opcodes.REDUCE);
        }

        private static void ordered(Object value, OutputStream out, Pickler pickler) throws IOException {
            Ordered ordered = (Ordered) value;
            pickler.save(new Call(new Global("collections", "OrderedDict"), List.of()));
            out.write(Opcodes.MARK);
            for (Map.Entry<String, Object> item : ordered.items.entrySet()) {
                pickler.save(item.getKey());
                pickler.save(item.getValue());
            }
            out.write(Opcodes.SETITEMS);
            pickler.save(ordered.attributes);
            out.write(Opcodes.BUILD);
        }

        @Override
        protected Object persistentId(Object value) {
            if (value instanceof Storage storage) {
                Global type = new Global("torch", PyTorchObjects.storageName(storage.dtype));
                return new Object[] {"storage", type, storage.key, "cpu", storage.elements};
            }
            return super.persistentId(value);
        }
    }
}
