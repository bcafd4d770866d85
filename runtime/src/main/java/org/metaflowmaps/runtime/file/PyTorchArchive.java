package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.US_ASCII;
import static org.metaflowmaps.runtime.internal.Texts.clean;
import static org.metaflowmaps.runtime.internal.Texts.quote;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import org.apache.commons.compress.archivers.zip.ZipArchiveEntry;
import org.apache.commons.compress.archivers.zip.ZipFile;

/** The positions of the records of a PyTorch file; records are not compressed, so each is a slice of the mapping. */
final class PyTorchArchive implements PyTorchStorages {
    private static final int MAX_ORDER = 64;
    private static final long BLOCK = 1 << 24;
    private static final String PICKLE = "/data.pkl";
    private static final String WHOLE = "a whole file of torch.save: it is damaged or truncated, fetch it again";

    private final String file;
    private final MemorySegment whole;
    private final Map<String, ZipArchiveEntry> records = new HashMap<>();

    private PyTorchArchive(String file, MemorySegment whole) {
        this.file = file;
        this.whole = whole;
    }

    /**
     * Reads the archive's directory.
     *
     * @param whole the file's bytes, from the first to the last
     */
    static PyTorchArchive read(Path path, MemorySegment whole) throws IOException {
        String file = path.toString();
        FileKind kind = FileKind.of(path, whole);
        if (kind != null) {
            throw new PyTorchException(file, kind.found(), kind.cure());
        }
        if (whole.byteSize() < 4
                || whole.get(ValueLayout.JAVA_BYTE, 0) != 'P'
                || whole.get(ValueLayout.JAVA_BYTE, 1) != 'K') {
            throw new PyTorchException(
                    file,
                    "the file does not begin as an archive",
                    "a file of torch.save: it is damaged, or of another kind");
        }
        List<ZipArchiveEntry> all;
        // If the archive is damaged, the library does not close a channel that it opened itself.
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            all = directory(file, channel);
        }
        PyTorchArchive archive = new PyTorchArchive(file, whole);
        List<String> roots = new ArrayList<>();
        for (ZipArchiveEntry entry : all) {
            String name = entry.getName();
            if (name.endsWith(PICKLE) && name.indexOf('/') == name.length() - PICKLE.length()) {
                roots.add(name.substring(0, name.length() - PICKLE.length() + 1));
            }
        }
        if (roots.size() != 1) {
            FileKind other = FileKind.ofArchive(
                    all.stream().map(ZipArchiveEntry::getName).toList());
            if (other != null) {
                throw new PyTorchException(file, other.found(), other.cure());
            }
            throw new PyTorchException(
                    file,
                    "the archive has " + (roots.isEmpty() ? "no" : "several") + " NAME/data.pkl",
                    "one, as torch.save writes it");
        }
        for (ZipArchiveEntry entry : all) {
            String name = entry.getName();
            if (name.startsWith(roots.getFirst())
                    && archive.records.put(name.substring(roots.getFirst().length()), entry) != null) {
                throw new PyTorchException(file, "the archive has two records " + quote(name), "each name once");
            }
        }
        if (archive.records.containsKey("constants.pkl")
                || archive.records.keySet().stream().anyMatch(name -> name.startsWith("code/"))) {
            throw new PyTorchException(file, FileKind.TORCH_SCRIPT.found(), FileKind.TORCH_SCRIPT.cure());
        }
        return archive;
    }

    private static List<ZipArchiveEntry> directory(String file, FileChannel channel) throws PyTorchException {
        try (ZipFile zip = ZipFile.builder().setSeekableByteChannel(channel).get()) {
            return Collections.list(zip.getEntries());
        } catch (IOException | RuntimeException e) {
            // A damaged directory can make the library throw undeclared exceptions too.
            throw new PyTorchException(
                    file, "the archive cannot be read (" + clean(String.valueOf(e.getMessage()), 200) + ")", WHOLE, e);
        }
    }

    /** Returns true if the storages are big-endian. */
    boolean isBigEndian() throws PyTorchException {
        if (!records.containsKey("byteorder")) {
            return false;
        }
        if (entry("byteorder").getSize() > MAX_ORDER) {
            throw new PyTorchException(
                    file,
                    "record 'byteorder' has " + entry("byteorder").getSize() + " bytes",
                    "the word little or big");
        }
        String order = new String(checked("byteorder").toArray(ValueLayout.JAVA_BYTE), US_ASCII);
        if (!order.equals("little") && !order.equals("big")) {
            throw new PyTorchException(file, "record 'byteorder' says " + quote(order), "the word little or big");
        }
        return order.equals("big");
    }

    /** Returns the pickle after verifying its checksum. */
    MemorySegment pickle() throws PyTorchException {
        return checked("data.pkl");
    }

    @Override
    public long begin(String key) throws PyTorchException {
        return place("data/" + key);
    }

    @Override
    public long size(String key) throws PyTorchException {
        return entry("data/" + key).getSize();
    }

    /** Returns a record's offset in the file; throws if it is compressed, encrypted or truncated. */
    private long place(String name) throws PyTorchException {
        ZipArchiveEntry entry = entry(name);
        if (entry.getMethod() != ZipArchiveEntry.STORED
                || entry.getGeneralPurposeBit().usesEncryption()
                || entry.getCompressedSize() != entry.getSize()) {
            throw new PyTorchException(
                    file,
                    "record " + quote(name) + " is compressed or encrypted",
                    "records without compression: unpack the archive and pack it again with zip -0 -r");
        }
        long begin = entry.getDataOffset();
        if (begin < 0 || entry.getSize() < 0 || entry.getSize() > whole.byteSize() - begin) {
            throw new PyTorchException(
                    file, "record " + quote(name) + " reaches beyond the file's " + whole.byteSize() + " bytes", WHOLE);
        }
        return begin;
    }

    private MemorySegment checked(String name) throws PyTorchException {
        MemorySegment bytes = whole.asSlice(place(name), entry(name).getSize());
        CRC32 checksum = new CRC32();
        for (long at = 0; at < bytes.byteSize(); at += BLOCK) {
            checksum.update(
                    bytes.asSlice(at, Math.min(BLOCK, bytes.byteSize() - at)).asByteBuffer());
        }
        if (checksum.getValue() != entry(name).getCrc()) {
            throw new PyTorchException(file, "record " + quote(name) + " does not match its checksum", WHOLE);
        }
        return bytes;
    }

    private ZipArchiveEntry entry(String name) throws PyTorchException {
        ZipArchiveEntry entry = records.get(name);
        if (entry == null) {
            throw new PyTorchException(file, "record " + quote(name) + " is missing from the archive", WHOLE);
        }
        return entry;
    }
}
