package org.metaflowmaps.bindings;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.Optional;
import org.bytedeco.javacpp.Loader;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Context;
import org.bytedeco.pytorch.global.torch;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Loads libtorch once, sets JavaCPP up for it, and refuses a libtorch that is too old. */
public final class Libtorch {
    /** The libtorch version that this code needs, as {@code aoti_torch_abi_version} encodes it: one byte per part. */
    static final long BUILD_VERSION = (2L << 56) | (13L << 48);

    private static final Logger LOG = LoggerFactory.getLogger(Libtorch.class);
    private static final String THREADS = "org.metaflowmaps.threads";
    private static final String[] POOLS = {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"};
    private static final String WAIT_POLICY = "OMP_WAIT_POLICY";
    private static final String ALLOCATOR = "PYTORCH_ALLOC_CONF";
    private static final String OLDER_ALLOCATOR = "PYTORCH_CUDA_ALLOC_CONF";
    private static final String MAX_BYTES = "org.bytedeco.javacpp.maxBytes";
    private static final String MAX_PHYSICAL_BYTES = "org.bytedeco.javacpp.maxPhysicalBytes";
    private static final String NO_COLLECTION = "org.bytedeco.javacpp.nopointergc";
    private static final String NO_COLLECTION_TOO = "org.bytedeco.javacpp.noPointerGC";
    private static final String LOAD_LIBRARIES = "org.bytedeco.javacpp.loadLibraries";
    private static final String EXPECTED_OPENBLAS = "0.3.31-1.5.13";

    private static volatile @Nullable Loaded loaded;
    /**
     * Why loading failed. A class whose initialisation failed stays unusable, and later errors do not name the cause.
     */
    private static @Nullable String failed;

    private Libtorch() {}

    private record Loaded(Path library, Ffm functions, long abiVersion) {}

    /**
     * Loads libtorch and its libraries; further calls return at once. Safe to call from any thread.
     *
     * <p>The first call unpacks the natives into a cache folder, which takes seconds and about 400 MB (several GB for
     * the CUDA build): the one named by the system property {@code org.metaflowmaps.cache}, by JavaCPP's property
     * {@code org.bytedeco.javacpp.cachedir} or by the environment variable {@code MFM_CACHE}, else
     * {@code ~/.cache/metaflowmaps}. Processes that start at the same time wait for each other there. One operation may
     * use all processors. The system property {@code org.metaflowmaps.threads} (for libtorch, OpenMP and BLAS) or the
     * environment variable {@code OMP_NUM_THREADS} limits them.
     *
     * @throws NativeLibraryException if libtorch is missing for this platform, cannot be unpacked or loaded, or is
     *     older than 2.13
     */
    public static void load() {
        if (loaded == null) {
            loadOnce();
        }
    }

    /**
     * Returns the libtorch in use; loads it first if needed.
     *
     * @throws NativeLibraryException as {@link #load()}
     */
    public static LibtorchInfo info() {
        Loaded now = require();
        return new LibtorchInfo(text(now.abiVersion), now.library, torch.get_num_threads(), Context.hasCUDART());
    }

    /** Returns the binder of libtorch's C functions; loads libtorch first if needed. */
    static Ffm functions() {
        return require().functions;
    }

    /** Returns the file of a library that was loaded with libtorch; empty while libtorch is not loaded. */
    static Optional<Path> companion(String stem) {
        if (loaded == null) {
            return Optional.empty();
        }
        // JavaCPP appends the library's ABI version after an @, as in cudart@.13.
        return Loader.getLoadedLibraries().entrySet().stream()
                .filter(entry -> entry.getKey().equals(stem) || entry.getKey().startsWith(stem + "@"))
                .map(entry -> Path.of(entry.getValue()))
                .findFirst();
    }

    /** Throws if the version is below {@link #BUILD_VERSION}. */
    static void checkVersion(long found, Path library) {
        if (Long.compareUnsigned(found, BUILD_VERSION) < 0) {
            throw new NativeLibraryException(
                    "libtorch " + text(found) + " was loaded from " + library + ", but at least " + text(BUILD_VERSION)
                            + " is needed: remove older org.bytedeco:pytorch jars from the class path");
        }
    }

    private static Loaded require() {
        Loaded now = loaded;
        return now != null ? now : loadOnce();
    }

    private static synchronized Loaded loadOnce() {
        Loaded now = loaded;
        if (now != null) {
            return now;
        }
        if (failed != null) {
            throw new NativeLibraryException(failed);
        }
        int threads = threads();
        setVariables();
        try (NativeCache cache = NativeCache.open()) {
            try {
                limitless();
                initialiseOpenblasQuietly();
                Loader.load(torch.class);
            } catch (LinkageError | RuntimeException e) {
                failed = failure(e, cache.folder());
                throw new NativeLibraryException(failed, e);
            }
            cache.loaded();
        } catch (IOException e) {
            // Nothing was loaded yet, so the next call can succeed once the folder is fixed.
            throw new NativeLibraryException("libtorch could not be unpacked: " + e.getMessage(), e);
        }
        if (threads > 0) {
            torch.set_num_threads(threads);
        }
        if (System.getProperty(THREADS) != null) {
            limitInterop(threads);
        }
        Path library = libraryFile();
        Ffm functions = new Ffm("libtorch (" + library + ")", SymbolLookup.libraryLookup(library, Arena.global()));
        long version = abiVersion(functions);
        checkVersion(version, library);
        Loaded result = new Loaded(library, functions, version);
        loaded = result;
        return result;
    }

    /** Sets the size of the pool for independent operations, which libtorch allows only before its first use. */
    private static void limitInterop(int threads) {
        try {
            torch.set_num_interop_threads(threads);
        } catch (RuntimeException e) {
            LOG.debug("The application has set the size already", e);
        }
    }

    private static void setVariables() {
        // OpenMP's threads spin for milliseconds between operations by default. If other programs use the same cores,
        // small operations become a hundred times slower. Threads that sleep at once wake up late: networks of many
        // small operations, such as FID's, take 1.6 times as long. Spinning for some 50 microseconds avoids both.
        if (System.getenv(WAIT_POLICY) == null) {
            Environment.setIfAbsent("GOMP_SPINCOUNT", "3000");
        }
        Environment.setIfAbsent(WAIT_POLICY, "PASSIVE");
        if (System.getenv(OLDER_ALLOCATOR) == null) {
            // CUDA memory in segments that grow: batches of another size otherwise leave blocks that fit nothing.
            // libtorch
            // reads this when its CUDA allocator starts.
            Environment.setIfAbsent(ALLOCATOR, "expandable_segments:True");
        }
        String chosen = System.getProperty(THREADS);
        if (chosen != null) {
            // Each library has its own pool and reads its size while it loads; libtorch's setting reaches only OpenMP's
            // pool.
            for (String variable : POOLS) {
                Environment.set(variable, chosen.strip());
            }
        }
    }

    /**
     * Turns off JavaCPP's memory limits and its garbage collection of native objects, unless the user set them. With
     * limits it reads this process's memory size for each native object, under a global lock, which makes every
     * operation five times slower. Its collection frees unreachable objects and so hides leaks; this library keeps
     * objects in use reachable, so they are safe either way.
     */
    private static void limitless() {
        if (System.getProperty(NO_COLLECTION) == null && System.getProperty(NO_COLLECTION_TOO) == null) {
            System.setProperty(NO_COLLECTION, "true");
        }
        boolean chosen = System.getProperty(MAX_BYTES) != null || System.getProperty(MAX_PHYSICAL_BYTES) != null;
        for (String property : new String[] {MAX_BYTES, MAX_PHYSICAL_BYTES}) {
            if (System.getProperty(property) == null) {
                System.setProperty(property, "0");
            }
        }
        if (!chosen && (Pointer.maxBytes() != 0 || Pointer.maxPhysicalBytes() != 0)) {
            LOG.warn(
                    "JavaCPP was initialised before libtorch was loaded, so its memory accounting is on and operations"
                            + " are several times slower, and its garbage collection of native objects is on. Call"
                            + " Libtorch.load() first, or start Java with -D{}=0 -D{}=0 -D{}=true.",
                    MAX_BYTES,
                    MAX_PHYSICAL_BYTES,
                    NO_COLLECTION);
        }
    }

    /**
     * Initialises the openblas presets with JavaCPP's version check off for the pinned version. That version is older
     * than pytorch's because no newer one was published, so the check would print a warning each time.
     */
    private static void initialiseOpenblasQuietly() {
        String before = System.getProperty(LOAD_LIBRARIES);
        if (before != null || !EXPECTED_OPENBLAS.equals(openblasVersion())) {
            return;
        }
        System.setProperty(LOAD_LIBRARIES, "false");
        try {
            Class.forName("org.bytedeco.openblas.presets.openblas_nolapack");
        } catch (ClassNotFoundException e) {
            throw new NativeLibraryException("The org.bytedeco:openblas jar is missing from the class path", e);
        } finally {
            System.clearProperty(LOAD_LIBRARIES);
        }
    }

    private static @Nullable String openblasVersion() {
        try {
            return Loader.getVersion("org.bytedeco", "openblas", Loader.class);
        } catch (IOException e) {
            LOG.debug("The version of openblas is not known", e);
            return null;
        }
    }

    /** Returns how many threads to ask for; 0 leaves the choice to OpenMP, which reads {@code OMP_NUM_THREADS}. */
    private static int threads() {
        String wanted = System.getProperty(THREADS);
        if (wanted == null) {
            return System.getenv("OMP_NUM_THREADS") != null
                    ? 0
                    : Runtime.getRuntime().availableProcessors();
        }
        int threads;
        try {
            threads = Integer.parseInt(wanted.strip());
        } catch (NumberFormatException e) {
            threads = 0;
        }
        if (threads < 1) {
            throw new IllegalArgumentException(
                    "System property " + THREADS + " is \"" + wanted + "\", expected a number from 1");
        }
        return threads;
    }

    private static Path libraryFile() {
        String path = Loader.getLoadedLibraries().get("torch_cpu");
        if (path == null) {
            throw new NativeLibraryException(
                    "libtorch was loaded, but JavaCPP does not know its file torch_cpu; it knows "
                            + Loader.getLoadedLibraries().keySet());
        }
        return Path.of(path);
    }

    private static long abiVersion(Ffm functions) {
        MethodHandle version = functions.bind("aoti_torch_abi_version", FunctionDescriptor.of(JAVA_LONG));
        try {
            return (long) version.invokeExact();
        } catch (Throwable e) {
            throw Ffm.unexpected(e);
        }
    }

    private static String text(long version) {
        return (version >>> 56) + "." + ((version >>> 48) & 0xff) + "." + ((version >>> 40) & 0xff);
    }

    private static String failure(Throwable cause, Path folder) {
        Throwable first = cause;
        while (first.getCause() != null) {
            first = first.getCause();
        }
        String text = cause.getMessage() + (first.equals(cause) ? "" : " (" + first.getMessage() + ")");
        String advice = Mount.isNoexec(folder)
                ? "The cache folder " + folder + " is on a disk mounted noexec, from which no library can be loaded: "
                        + CacheFolder.CHOOSE
                : MissingLibrary.advice(text)
                        .orElse("Check that the jar org.bytedeco:pytorch with the classifier of this platform is on"
                                + " the class path. If it is, delete the cache folder " + folder + ", or "
                                + CacheFolder.CHOOSE);
        return "libtorch could not be loaded on " + Loader.getPlatform() + ": " + text.replaceAll("\\s*\\R\\s*", " ")
                + ". " + advice;
    }
}
