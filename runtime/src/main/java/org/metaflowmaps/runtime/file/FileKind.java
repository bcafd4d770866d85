package org.metaflowmaps.runtime.file;

import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.internal.Texts;

/**
 * The kind of a file that holds no tensors, recognised by its first bytes.
 *
 * @param found the kind, for a message
 * @param cure the expected file, and how to get it
 */
record FileKind(String found, String cure) {
    /** Bytes from the start of a file that are enough to recognise every kind. */
    static final int START = 512;

    static final FileKind TORCH_SCRIPT = new FileKind(
            "the file is a TorchScript archive, which holds a program",
            "the weights alone, in Python: torch.save(torch.jit.load(FILE).state_dict(), NEW_FILE)");

    private static final ValueLayout.OfLong LENGTH = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final int TAR_MAGIC = 257;
    private static final String AGAIN = "the file itself: fetch it again";
    /** Kinds by first bytes, as ISO 8859-1. */
    private static final Map<String, FileKind> BY_START = Map.ofEntries(
            Map.entry("\u001f\u008b", packed("gzip", "gzip -d FILE")),
            Map.entry("BZh", packed("bzip2", "bzip2 -d FILE")),
            Map.entry("\u00fd7zXZ", packed("xz", "xz -d FILE")),
            Map.entry("(\u00b5/\u00fd", packed("zstd", "zstd -d FILE")),
            Map.entry("7z\u00bc\u00af", packed("7z", "7z x FILE")),
            Map.entry("Rar!", packed("RAR", "unrar x FILE")),
            Map.entry(
                    "GGUF",
                    new FileKind(
                            "the file is a GGUF file",
                            "the network's .safetensors or .pt file from before it was converted")),
            Map.entry(
                    "\u0089HDF",
                    new FileKind(
                            "the file is an HDF5 file",
                            "safetensors: read it in Python with h5py and write its tensors with"
                                    + " safetensors.torch.save_file")),
            Map.entry(
                    "\u0093NUMPY",
                    new FileKind(
                            "the file is an array of NumPy",
                            "safetensors: write it in Python with safetensors.numpy.save_file({NAME:"
                                    + " numpy.load(FILE)}, NEW_FILE)")),
            Map.entry("\u0089PNG", new FileKind("the file is a PNG image", "a file of tensors")),
            Map.entry("\u00ff\u00d8\u00ff", new FileKind("the file is a JPEG image", "a file of tensors")),
            Map.entry("%PDF", new FileKind("the file is a PDF document", "a file of tensors")));

    private static FileKind packed(String name, String command) {
        return new FileKind("the file is packed with " + name, "the file inside: unpack it with: " + command);
    }

    /** Returns the kind of a file, or null if its first bytes match no kind. */
    static @Nullable FileKind of(Path path, MemorySegment whole) {
        if (whole.byteSize() == 0) {
            return new FileKind("the file is empty", AGAIN);
        }
        if (beginsSafetensors(whole, whole.byteSize()) || PyTorchLegacy.begins(whole)) {
            return null;
        }
        String start = new String(
                whole.asSlice(0, Math.min(START, whole.byteSize())).toArray(ValueLayout.JAVA_BYTE), ISO_8859_1);
        for (Map.Entry<String, FileKind> kind : BY_START.entrySet()) {
            if (start.startsWith(kind.getKey())) {
                return kind.getValue();
            }
        }
        String name = String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT);
        if (name.endsWith(".distcp") || name.equals(".metadata")) {
            return new FileKind(
                    "the file is a part of a distributed checkpoint",
                    distributed(String.valueOf(path.toAbsolutePath().getParent())));
        }
        if (start.startsWith("version https://git-lfs")) {
            return new FileKind(
                    "the file is a pointer of Git LFS (" + whole.byteSize() + " bytes of text), not the file itself",
                    "the file itself: run 'git lfs pull' in its repository, or download it by its own link");
        }
        if (start.startsWith("/annex/objects/") || start.contains(".git/annex/objects/")) {
            return new FileKind(
                    "the file is a pointer of git-annex, not the file itself",
                    "the file itself: run 'git annex get FILE'");
        }
        if (name.endsWith(".onnx")
                || (start.startsWith("\b") && (start.contains("onnx") || start.contains("pytorch")))) {
            return new FileKind(
                    "the file is an ONNX model", "the network's .safetensors or .pt file from which it was exported");
        }
        if (start.startsWith("ustar", TAR_MAGIC) || oldTar(start)) {
            return oldTar(start)
                            || start.startsWith("sys_info")
                            || start.startsWith("storages")
                            || start.startsWith("pickle\0")
                            || start.startsWith("tensors\0")
                    ? new FileKind(
                            "the file is a tar archive of PyTorch before 0.1.10",
                            "a newer format: load it with torch.load in a PyTorch before 2.6, on a machine that may"
                                    + " run code from the file, and save its state_dict() again with torch.save")
                    : new FileKind("the file is a tar archive", "the file inside: unpack it with: tar xf FILE");
        }
        return text(start, name);
    }

    private static @Nullable FileKind text(String start, String name) {
        String word = start.replaceFirst("^(\u00ef\u00bb\u00bf)?\\s+", "").toLowerCase(Locale.ROOT);
        if (word.startsWith("<!doctype")
                || word.startsWith("<html")
                || word.startsWith("<head")
                || word.startsWith("<?xml")
                || word.startsWith("<!--")) {
            return new FileKind(
                    "the file is a web page",
                    "the file itself: the link led to a page, perhaps a login page; "
                            + "download by the file's direct link");
        }
        if (word.startsWith("{") || word.startsWith("[")) {
            return new FileKind(
                    "the file is a JSON text",
                    "a file of tensors: a server may have sent an error in its place, or it is a "
                            + "network's configuration, whose weights are in another file");
        }
        if (start.startsWith("\u0080") && start.length() > 1 && start.charAt(1) <= 5 && start.charAt(1) > 1) {
            return new FileKind(
                    "the file is a plain pickle, not one of torch.save",
                    "a file of torch.save: load it in Python the way it was "
                            + "saved, and write its tensors with torch.save");
        }
        boolean printable = start.chars().allMatch(c -> (c >= ' ' && c < 127) || c == '\n' || c == '\r' || c == '\t');
        return printable && start.length() > 8 && !name.isEmpty()
                ? new FileKind(
                        "the file is a text that begins with "
                                + Texts.quote(
                                        start.lines().findFirst().orElse("").strip()),
                        "a file of tensors: fetch it again by its direct link")
                : null;
    }

    /** Old tar archives have no magic number. */
    private static boolean oldTar(String start) {
        return (start.startsWith("storages\0") || start.startsWith("sys_info\0") || start.startsWith("pickle\0\0"))
                && start.length() == START;
    }

    /** Returns the kind of an archive that torch.save did not write, or null if its records match no kind. */
    static @Nullable FileKind ofArchive(List<String> records) {
        if (records.stream().anyMatch(name -> name.endsWith(".npy"))) {
            return new FileKind(
                    "the file is an archive of NumPy arrays",
                    "safetensors: write them in Python with safetensors.numpy.save_file(dict(numpy.load(FILE)),"
                            + " NEW_FILE)");
        }
        if (records.stream()
                .anyMatch(name ->
                        name.contains("/code/") || name.endsWith("/constants.pkl") || name.endsWith("/model.json"))) {
            return TORCH_SCRIPT;
        }
        for (String record : records) {
            if (record.endsWith(".safetensors") || TensorFile.isPyTorchName(Path.of(record))) {
                return new FileKind(
                        "the file is a ZIP archive with the file " + Texts.quote(record) + " in it",
                        "the file inside: unpack it with: unzip FILE");
            }
        }
        return null;
    }

    /** Returns the command that converts a distributed checkpoint. */
    static String distributed(String folder) {
        return "one file: convert the folder with: python -m torch.distributed.checkpoint.format_utils dcp_to_torch "
                + folder + " FILE.pt";
    }

    /** Returns true if a file of that size begins like a safetensors file. */
    static boolean beginsSafetensors(MemorySegment start, long size) {
        if (start.byteSize() <= Long.BYTES || start.get(ValueLayout.JAVA_BYTE, Long.BYTES) != '{') {
            return false;
        }
        long length = start.get(LENGTH, 0);
        return length > 0 && length <= SafetensorsHeader.MAX_TEXT;
    }
}
