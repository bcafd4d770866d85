package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.zip.CRC32;

/** Valid and invalid files of torch.save, built by hand: archives byte by byte, pickles instruction by instruction. */
final class PyTorchSamples {
    private PyTorchSamples() {}

    /** Builds a pickle; every method adds the instructions of Python's pickler, without a memo. */
    static final class Pickle {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        Pickle(int protocol) {
            op(0x80).op(protocol);
        }

        Pickle op(int... codes) {
            for (int code : codes) {
                out.write(code);
            }
            return this;
        }

        Pickle raw(String text) {
            out.writeBytes(text.getBytes(UTF_8));
            return this;
        }

        Pickle int32(long value) {
            out.writeBytes(ByteBuffer.allocate(4)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt((int) value)
                    .array());
            return this;
        }

        Pickle text(String text) {
            return op('X').int32(text.getBytes(UTF_8).length).raw(text);
        }

        Pickle number(long value) {
            return value >= 0 && value < 256 ? op('K', (int) value) : op('J').int32(value);
        }

        Pickle long64(long value) {
            op(0x8a, 8);
            out.writeBytes(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(value)
                    .array());
            return this;
        }

        Pickle real(double value) {
            op('G');
            out.writeBytes(ByteBuffer.allocate(8).putDouble(value).array());
            return this;
        }

        Pickle global(String module, String name) {
            return raw("c" + module + "\n" + name + "\n");
        }

        Pickle tuple(long... values) {
            op('(');
            for (long value : values) {
                number(value);
            }
            return op('t');
        }

        Pickle orderedDict() {
            return global("collections", "OrderedDict").op(')', 'R');
        }

        Pickle storage(String type, String key, long elements) {
            return op('(').text("storage")
                    .global("torch", type)
                    .text(key)
                    .text("cuda:0")
                    .number(elements)
                    .op('t', 'Q');
        }

        /** A tensor on a new storage or on another tensor's. */
        Pickle tensor(String type, String key, long elements, long offset, long[] shape, long... strides) {
            return global("torch._utils", "_rebuild_tensor_v2")
                    .op('(')
                    .storage(type, key, elements)
                    .number(offset)
                    .tuple(shape)
                    .tuple(strides)
                    .op(0x89)
                    .orderedDict()
                    .op('t', 'R');
        }

        /** Begins a dict's items; {@link #endItems} ends them. */
        Pickle items() {
            return op('}', '(');
        }

        Pickle endItems() {
            return op('u');
        }

        byte[] stop() {
            return op('.').out.toByteArray();
        }
    }

    static long[] sizes(long... sizes) {
        return sizes;
    }

    /** Numbers as bytes of a storage. */
    static byte[] floats(float... values) {
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        for (float value : values) {
            bytes.putFloat(value);
        }
        return bytes.array();
    }

    /** An archive named {@code weights} of a pickle and storages by key. */
    static byte[] file(byte[] pickle, Map<String, byte[]> storages) {
        return file(pickle, storages, 0);
    }

    /** The same with records that begin that many bytes after a multiple of 64. */
    static byte[] file(byte[] pickle, Map<String, byte[]> storages, int shift) {
        Map<String, byte[]> records = new LinkedHashMap<>();
        records.put("weights/data.pkl", pickle);
        records.put("weights/byteorder", "little".getBytes(UTF_8));
        storages.forEach((key, bytes) -> records.put("weights/data/" + key, bytes));
        records.put("weights/version", "3\n".getBytes(UTF_8));
        return zip(records, shift);
    }

    /** Records aligned to 64 bytes by a padding field, as in PyTorch's writer. */
    static byte[] zip(Map<String, byte[]> records) {
        return zip(records, 0);
    }

    private static byte[] zip(Map<String, byte[]> records, int shift) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        ByteArrayOutputStream directory = new ByteArrayOutputStream();
        records.forEach((name, content) -> {
            byte[] title = name.getBytes(UTF_8);
            int begin = out.size();
            int padding = Math.floorMod(shift - (begin + 30 + title.length + 4), 64);
            CRC32 crc = new CRC32();
            crc.update(content);
            byte[] header = new byte[30 + title.length + 4 + padding];
            ByteBuffer local = little(header).putInt(0x04034b50);
            common(local, content.length, (int) crc.getValue(), title.length, 4 + padding);
            local.put(title).putShort((short) 0x4246).putShort((short) padding);
            out.writeBytes(header);
            out.writeBytes(content);
            byte[] line = new byte[46 + title.length];
            ByteBuffer central = little(line).putInt(0x02014b50).putShort((short) 20);
            common(central, content.length, (int) crc.getValue(), title.length, 0);
            central.putShort((short) 0)
                    .putShort((short) 0)
                    .putShort((short) 0)
                    .putInt(0)
                    .putInt(begin)
                    .put(title);
            directory.writeBytes(line);
        });
        int start = out.size();
        out.writeBytes(directory.toByteArray());
        byte[] end = new byte[22];
        little(end)
                .putInt(0x06054b50)
                .putInt(0)
                .putShort((short) records.size())
                .putShort((short) records.size())
                .putInt(directory.size())
                .putInt(start);
        out.writeBytes(end);
        return out.toByteArray();
    }

    private static void common(ByteBuffer header, int size, int crc, int name, int extra) {
        header.putShort((short) 20)
                .putShort((short) 0x800)
                .putShort((short) 0)
                .putInt(0x00210000)
                .putInt(crc)
                .putInt(size)
                .putInt(size)
                .putShort((short) name)
                .putShort((short) extra);
    }

    private static ByteBuffer little(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }
}
